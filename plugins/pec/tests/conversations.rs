//! Conversations of three providers, one of them faulty, in every order: whatever is lost, delayed, repeated, forged, cut
//! off or silent, the audit of `conversations/audit.rs` holds of what the honest ones say and of what their users have.
//!
//! A conversation is a list of [`Act`]s. After the last one everybody honest is there again and two days pass. Nothing of the
//! plugin lives longer than a step: what is known is in the houses' state, as after a restart. A counterexample is printed as
//! the shortest such list; copy it into `kept`.
#![allow(clippy::unwrap_used, reason = "tests may")]

#[path = "conversations/audit.rs"]
mod audit;
#[path = "conversations/forgery.rs"]
mod forgery;
#[path = "conversations/network.rs"]
mod network;
mod world;

use proptest::prelude::*;

use forgery::{Forgery, forge};
use network::Network;
use world::world;

/// Conversations in one run.
const CASES: u32 = 1500;
const MINUTE: u64 = 60_000;

const SENDERS: [&str; 3] = ["ada@alfa.example", "bruno@beta.example", "gina@gamma.example"];
/// The fifth does not exist, the last is nobody's here.
const RECIPIENTS: [&str; 8] = [
    "ada@alfa.example",
    "carla@alfa.example",
    "bruno@beta.example",
    "dora@beta.example",
    "nessuno@beta.example",
    "gina@gamma.example",
    "igor@gamma.example",
    "esterno@posta.example",
];
/// Whose mailbox changes; they only receive.
const CHANGING: [&str; 2] = ["carla@alfa.example", "dora@beta.example"];

/// The fields in which a recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum In {
    To,
    Cc,
    Both,
}

/// One act of a conversation. A number picks one of what there is at the moment.
#[derive(Debug, Clone)]
enum Act {
    /// A user sends to some of [`RECIPIENTS`], asking for a form of receipt.
    Send { sender: usize, to: Vec<(usize, In)>, form: Option<&'static str> },
    /// A message takes its next step, before those that waited longer.
    Carry(usize),
    /// Everything goes as far as it can.
    CarryAll,
    /// A message comes once more.
    Again(usize),
    /// A message from or to Gamma is lost.
    Lose(usize),
    /// A scanner will find something in a message.
    Infect(usize),
    /// A forgery of a message that was seen.
    Forge(Forgery, usize),
    /// The next step runs, and its commit is lost.
    PowerCut,
    /// Time passes, in minutes.
    Pass(u64),
    /// A house takes no connections from now on, or takes them again.
    Away(&'static str, bool),
    /// One of [`CHANGING`] becomes this.
    Mailbox(usize, &'static str),
    /// Keys cannot be reached, or can again.
    KeysDown(bool),
    /// Revocation lists are stale, or fresh again.
    ListsStale(bool),
}

fn act() -> impl Strategy<Value = Act> {
    let place = prop_oneof![4 => Just(In::To), 2 => Just(In::Cc), 1 => Just(In::Both)];
    let form = prop_oneof![Just(None), Just(Some("completa")), Just(Some("breve")), Just(Some("sintetica"))];
    let house = prop_oneof![2 => Just("gamma"), 1 => Just("beta"), 1 => Just("alfa")];
    let status = prop_oneof![Just("present"), Just("full"), Just("disabled")];
    prop_oneof![
        6 => (0..SENDERS.len(), prop::collection::vec((0..RECIPIENTS.len(), place), 1..=5), form)
            .prop_map(|(sender, to, form)| Act::Send { sender, to, form }),
        10 => any::<usize>().prop_map(Act::Carry),
        3 => Just(Act::CarryAll),
        4 => any::<usize>().prop_map(Act::Again),
        2 => any::<usize>().prop_map(Act::Lose),
        1 => any::<usize>().prop_map(Act::Infect),
        4 => (prop::sample::select(&forgery::ALL[..]), any::<usize>()).prop_map(|(way, index)| Act::Forge(way, index)),
        2 => Just(Act::PowerCut),
        3 => prop_oneof![1..120u64, Just(12 * 60), Just(22 * 60), 60..1500u64].prop_map(Act::Pass),
        2 => (house, any::<bool>()).prop_map(|(house, away)| Act::Away(house, away)),
        1 => (0..CHANGING.len(), status).prop_map(|(who, status)| Act::Mailbox(who, status)),
        1 => any::<bool>().prop_map(Act::KeysDown),
        1 => any::<bool>().prop_map(Act::ListsStale),
    ]
}

fn message(sender: &str, to: &[(usize, In)], form: Option<&str>, number: usize) -> Vec<u8> {
    let named = |field: In| {
        let those = to.iter().filter(|(_, place)| *place == field || *place == In::Both);
        those.map(|(index, _)| RECIPIENTS[*index]).collect::<Vec<_>>().join(", ")
    };
    let mut header = format!("From: {sender}\r\nSubject: numero {number}\r\nDate: Tue, 14 Dec 2021 14:54:29 +0100\r\n");
    header += &format!("Message-ID: <{number}@client.example>\r\n");
    for (name, list) in [("To", named(In::To)), ("Cc", named(In::Cc))] {
        if !list.is_empty() {
            header += &format!("{name}: {list}\r\n");
        }
    }
    if let Some(form) = form {
        header += &format!("X-TipoRicevuta: {form}\r\n");
    }
    let body = "--b\r\nContent-Type: text/plain\r\n\r\nBuongiorno\r\n--b\r\nContent-Type: application/pdf; name=a.pdf\r\n\
                Content-Transfer-Encoding: base64\r\n\r\nAAECAwQF\r\n--b--\r\n";
    format!("{header}MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n{body}").into_bytes()
}

fn perform(network: &mut Network, act: &Act, number: usize) {
    match act {
        Act::Send { sender, to, form } => {
            let mut to = to.clone();
            to.sort_by_key(|(index, _)| *index);
            to.dedup_by_key(|(index, _)| *index);
            let recipients: Vec<String> = to.iter().map(|(index, _)| RECIPIENTS[*index].to_owned()).collect();
            network.submit(SENDERS[*sender], &recipients, &message(SENDERS[*sender], &to, *form, number));
        }
        Act::Carry(index) if !network.queue.is_empty() => {
            network.carry(index % network.queue.len());
        }
        Act::CarryAll => network.settle(),
        Act::Again(index) if !network.carried.is_empty() => {
            let mut item = network.carried[index % network.carried.len()].clone();
            item.queued_at = network.world.now.get();
            network.queue.push(item);
        }
        Act::Infect(index) if !network.queue.is_empty() => {
            let index = index % network.queue.len();
            network.queue[index].infected = true;
        }
        Act::Lose(index) => {
            let bad = (0..network.queue.len()).filter(|&at| Network::is_on_the_bad_wire(&network.queue[at]));
            let bad: Vec<usize> = bad.collect();
            if !bad.is_empty() {
                network.queue.remove(bad[index % bad.len()]);
            }
        }
        Act::Forge(way, index) => {
            let seen: Vec<_> = network.carried.iter().chain(&network.queue).filter(|item| !item.forged).collect();
            let genuine = (!seen.is_empty()).then(|| seen[index % seen.len()]);
            if let Some(forged) = genuine.and_then(|genuine| forge(*way, genuine)) {
                network.queue.push(forged);
            }
        }
        Act::PowerCut => network.world.power_cut.set(true),
        Act::Pass(minutes) => network.pass(minutes * MINUTE),
        Act::Away(house, away) => network.books.get_mut(house).unwrap().away = *away,
        Act::Mailbox(who, status) => {
            let house = network.world.house_of(network::domain(CHANGING[*who])).unwrap();
            house.mailboxes.borrow_mut().insert(CHANGING[*who].to_owned(), status);
        }
        Act::KeysDown(down) => network.world.keys_down.set(*down),
        Act::ListsStale(stale) => network.world.lists_stale.set(*stale),
        Act::Carry(_) | Act::Again(_) | Act::Infect(_) => {}
    }
}

/// Performs a conversation to its end, and audits it.
fn converse(acts: &[Act]) -> Network {
    let mut network = Network::new(world());
    for (number, act) in acts.iter().enumerate() {
        perform(&mut network, act, number);
    }
    network.end_of_the_story();
    audit::audit(&network);
    network
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn however_it_goes_the_evidence_is_true(acts in prop::collection::vec(act(), 1..40)) {
        converse(&acts);
    }
}

/// Conversations that once went wrong, or that no chance should decide about.
mod kept {
    use super::*;

    fn send(to: &[usize]) -> Act {
        Act::Send { sender: 0, to: to.iter().map(|index| (*index, In::To)).collect(), form: None }
    }

    /// The audit is worth nothing if nothing happens: the undisturbed conversation has every message.
    #[test]
    fn the_undisturbed_one() {
        let network = converse(&[send(&[1, 2, 4, 6, 7])]);
        let count = |house: &str, kind| network.books[house].events.iter().filter(|e| e.kind.word() == kind).count();
        assert_eq!(
            [count("alfa", "take-charge"), count("beta", "take-charge"), count("gamma", "take-charge")],
            [1, 1, 1]
        );
        assert_eq!([count("alfa", "delivery"), count("beta", "delivery"), count("beta", "non-delivery")], [1, 1, 1]);
        assert_eq!(network.outside.len(), 1);
        // The acceptance receipt, four final ones.
        assert_eq!(network.books["alfa"].filed["ada@alfa.example"].len(), 5);
    }

    #[test]
    fn a_virus_that_the_recipients_provider_finds() {
        let network = converse(&[send(&[1, 2, 3]), Act::Infect(0), Act::Infect(1), Act::Infect(2)]);
        let count = |house: &str, kind| network.books[house].events.iter().filter(|e| e.kind.word() == kind).count();
        assert_eq!([count("beta", "virus-detection"), count("alfa", "virus-detection")], [2, 1]);
        assert_eq!(count("alfa", "non-delivery-virus"), 3);
        assert!(!network.books["beta"].filed.contains_key("bruno@beta.example"));
    }

    #[test]
    fn a_provider_that_is_silent_for_ever() {
        let network = converse(&[Act::Away("gamma", true), send(&[2, 5])]);
        // Acceptance, Bruno's delivery, two notices about Gina.
        assert_eq!(network.books["alfa"].filed["ada@alfa.example"].len(), 4);
    }

    #[test]
    fn every_forgery_of_every_message_of_a_conversation() {
        let mut acts = vec![send(&[1, 2, 3]), Act::CarryAll];
        for way in forgery::ALL {
            acts.extend((0..12).map(|index| Act::Forge(way, index)));
        }
        acts.push(Act::CarryAll);
        let network = converse(&acts);
        let anomalies: usize = ["alfa", "beta"]
            .iter()
            .map(|house| network.books[*house].events.iter().filter(|event| event.kind.word() == "anomaly").count())
            .sum();
        assert!(anomalies >= 40, "only {anomalies} forgeries were tried");
    }

    #[test]
    fn a_cut_at_every_step() {
        let mut acts = Vec::new();
        for _ in 0..3 {
            acts.push(Act::PowerCut);
            acts.push(send(&[1, 2, 5, 7]));
        }
        for _ in 0..60 {
            acts.push(Act::PowerCut);
            acts.push(Act::Carry(0));
            acts.push(Act::Carry(0));
        }
        converse(&acts);
    }
}
