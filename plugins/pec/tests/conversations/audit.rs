//! The audit that the rules imply: what must hold of the evidence of honest providers and of what their users have, however
//! the conversation went.

use std::collections::BTreeMap;

use pec::certification_data::{CertificationData, RecipientKind};

use super::network::{Filed, Network, domain};

const HONEST: [&str; 2] = ["alfa", "beta"];

/// Everything that honest users have, read once.
struct Audit<'a> {
    network: &'a Network,
    /// By mailbox.
    filed: BTreeMap<String, Vec<(Filed, &'a [u8])>>,
}

/// Checks it all.
pub fn audit(network: &Network) {
    let mut filed: BTreeMap<String, Vec<(Filed, &[u8])>> = BTreeMap::new();
    for name in HONEST {
        for (mailbox, messages) in &network.books[name].filed {
            filed.entry(mailbox.clone()).or_default().extend(messages.iter().map(|m| (Filed::read(m), m.as_slice())));
        }
    }
    let audit = Audit { network, filed };
    for name in HONEST {
        for envelope in &network.books[name].envelopes {
            audit.accepted(name, &Filed::read(envelope).data.unwrap());
        }
        audit.taken_in_charge(name);
        audit.deadlines(name);
    }
    audit.mailboxes();
    audit.one_original();
}

impl Audit<'_> {
    fn events(&self, house: &str, kinds: &[&str], id: &str, recipient: Option<&str>) -> usize {
        let events = self.network.books[house].events.iter();
        let about = |event: &&pec::evidence::Event| {
            recipient.is_none_or(|r| event.recipients.iter().any(|e| e.eq_ignore_ascii_case(r)))
        };
        events.filter(|event| kinds.contains(&event.kind.word()) && event.message_id == id).filter(about).count()
    }

    fn house(&self, address: &str) -> Option<&'static str> {
        self.network.world.house_of(domain(address)).map(|house| house.name)
    }

    /// What a mailbox has of an original, by the words of its kind.
    fn has(&self, mailbox: &str, words: &[&str], id: &str) -> Vec<&Filed> {
        let all = self.filed.get(&mailbox.to_ascii_lowercase()).into_iter().flatten().map(|(filed, _)| filed);
        all.filter(|f| words.contains(&f.word.as_str()) && f.data.as_ref().is_some_and(|d| d.identifier == id))
            .collect()
    }

    /// 1, 2, 6 and the rule of the deadlines: an original that a house accepted.
    fn accepted(&self, name: &str, data: &CertificationData) {
        let id = &data.identifier;
        assert_eq!(self.events(name, &["acceptance"], id, None), 1, "acceptances of {id}");
        assert_eq!(self.events(name, &["transport-envelope"], id, None), 1, "envelopes of {id}");
        assert_eq!(self.has(&data.sender, &["accettazione"], id).len(), 1, "acceptance receipts of {id}");
        for recipient in &data.recipients {
            let address = &recipient.address;
            if recipient.kind == RecipientKind::External {
                let copies = self.network.outside.iter().filter(|item| item.to.contains(address));
                let copies = copies.filter(|item| Filed::read(&item.bytes).id == format!("<{id}>")).count();
                assert_eq!(copies, 1, "copies of {id} for {address}");
                continue;
            }
            let of = |f: &&&Filed| f.data.as_ref().is_some_and(|d| d.delivery.as_deref() == Some(address));
            let finals = self.has(&data.sender, &["avvenuta-consegna", "errore-consegna"], id);
            let finals = finals.iter().filter(of).count();
            let notices = self.has(&data.sender, &["preavviso-errore-consegna"], id);
            let given_up = notices.iter().filter(of).filter(|f| code(f).starts_with("5.4.1")).count();
            let warned = notices.iter().filter(of).count() - given_up;
            assert!(finals <= 1 && given_up <= 1 && warned <= 1, "{id} for {address}: {finals} {given_up} {warned}");
            assert!(finals + given_up >= 1, "the sender of {id} never hears of {address}");
        }
    }

    /// 3 to 6 at the recipient's side: what a house took in charge ends once, in the mailbox or with a notice.
    fn taken_in_charge(&self, name: &str) {
        for event in self.network.books[name].events.iter().filter(|event| event.kind.word() == "take-charge") {
            let id = &event.message_id;
            for recipient in &event.recipients {
                assert_eq!(self.house(recipient), Some(name), "{id} taken in charge for another's {recipient}");
                assert_eq!(self.events(name, &["take-charge"], id, Some(recipient)), 1, "{id} for {recipient}");
                let delivered = self.events(name, &["delivery"], id, Some(recipient));
                let ends = self.events(name, &["delivery", "non-delivery", "virus-detection"], id, Some(recipient));
                assert_eq!(ends, 1, "ends of {id} for {recipient}");
                let copies = self.has(recipient, &["posta-certificata"], id).len();
                assert_eq!(copies, delivered, "copies of {id} in the mailbox of {recipient}");
            }
        }
    }

    /// A notice of a deadline says that nothing was heard: nothing had been.
    fn deadlines(&self, name: &str) {
        let events = &self.network.books[name].events;
        for (index, notice) in events.iter().enumerate() {
            let silent_about: &[&str] = match notice.kind.word() {
                "timeout-warning" => &["presa-in-carico", "avvenuta-consegna", "errore-consegna", "rilevazione-virus"],
                "timeout" => &["avvenuta-consegna", "errore-consegna", "rilevazione-virus"],
                _ => continue,
            };
            let heard = events[..index].iter().find(|event| {
                let word = event.details.iter().find(|(detail, _)| detail == "receipt").map(|(_, word)| word.as_str());
                event.kind.word() == "receipt-received"
                    && event.message_id == notice.message_id
                    && word.is_some_and(|word| silent_about.contains(&word))
                    && event.recipients.iter().any(|recipient| notice.recipients.contains(recipient))
            });
            assert!(heard.is_none(), "a {} after {heard:?}", notice.kind.word());
        }
    }

    /// Nothing in a mailbox says what is not so.
    fn mailboxes(&self) {
        for (mailbox, messages) in &self.filed {
            let own = self.house(mailbox).unwrap();
            let mut ids = std::collections::BTreeSet::new();
            for (filed, bytes) in messages {
                let signer = self.house(&filed.from);
                if filed.word == "errore" {
                    assert_eq!((signer, filed.data.is_none()), (Some(own), true), "an anomaly envelope");
                    continue;
                }
                let data = filed.data.as_ref().unwrap_or_else(|| panic!("uncertified mail in {mailbox}"));
                assert!(ids.insert(filed.id.clone()), "{} twice in {mailbox}", filed.id);
                let signer = signer.unwrap_or_else(|| panic!("signed by nobody: {}", filed.from));
                match filed.word.as_str() {
                    "posta-certificata" => self.envelope(mailbox, signer, data, bytes),
                    "avvenuta-consegna" => self.delivery_receipt(signer, filed, data),
                    word => self.notice(own, signer, word, data),
                }
            }
        }
    }

    fn envelope(&self, mailbox: &str, signer: &str, data: &CertificationData, bytes: &[u8]) {
        let own = self.house(mailbox).unwrap();
        assert_eq!(self.house(&data.sender), Some(signer), "an envelope for another's sender");
        assert_eq!(self.events(own, &["take-charge"], &data.identifier, Some(mailbox)), 1, "never taken in charge");
        assert_eq!(self.events(own, &["delivery"], &data.identifier, Some(mailbox)), 1, "without a delivery event");
        let made = &self.network.books[signer].envelopes;
        assert!(made.iter().any(|envelope| envelope == bytes), "not the bytes that {signer} sent");
    }

    /// An honest house says delivered: it is in that mailbox, the same bytes.
    fn delivery_receipt(&self, signer: &str, filed: &Filed, data: &CertificationData) {
        let recipient = data.delivery.as_deref().unwrap();
        assert_eq!(self.house(recipient), Some(signer), "a receipt for another's recipient");
        if !HONEST.contains(&signer) {
            return;
        }
        let copies = self.has(recipient, &["posta-certificata"], &data.identifier);
        let [copy] = copies.as_slice() else {
            panic!("{} copies of {} for {recipient}", copies.len(), data.identifier)
        };
        if let (Some(returned), Some("completa")) = (&filed.original, data.receipt_kind.map(|kind| kind.word())) {
            assert_eq!(Some(returned), copy.original.as_ref(), "another original than {recipient} got");
        }
    }

    fn notice(&self, own: &str, signer: &str, word: &str, data: &CertificationData) {
        match word {
            "accettazione" | "non-accettazione" | "preavviso-errore-consegna" => assert_eq!(signer, own, "{word}"),
            "presa-in-carico" | "rilevazione-virus" => {
                for recipient in data.taken_in_charge.iter().chain(&data.delivery) {
                    assert_eq!(self.house(recipient), Some(signer), "{word} for another's recipient");
                }
            }
            "errore-consegna" => {
                let recipient = data.delivery.as_deref().unwrap();
                let theirs = self.house(recipient) == Some(signer);
                assert!(theirs || signer == own, "a notice for another's recipient");
                if theirs && HONEST.contains(&signer) {
                    let copies = self.has(recipient, &["posta-certificata"], &data.identifier);
                    assert!(copies.is_empty(), "{} was delivered all the same", data.identifier);
                }
            }
            word => panic!("a message of kind {word}"),
        }
    }

    /// A: what messages of one original say of it is the same in all of them.
    fn one_original(&self) {
        let mut known: BTreeMap<&str, &CertificationData> = BTreeMap::new();
        for data in self.filed.values().flatten().filter_map(|(filed, _)| filed.data.as_ref()) {
            let first = known.entry(&data.identifier).or_insert(data);
            let of = |d: &CertificationData| {
                (d.sender.to_lowercase(), d.recipients.clone(), d.subject.clone(), d.message_id.clone())
            };
            assert_eq!(of(first), of(data), "two originals under {}", data.identifier);
        }
    }
}

fn code(filed: &Filed) -> &str {
    filed.data.as_ref().and_then(|data| data.extended_error.as_deref()).unwrap_or_default()
}
