//! Keeps copies in the archive, well and badly; the subject says what else it does.

wit_bindgen::generate!({
    inline: "
        package guest:keeps-copies;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
            export sigillo:mail/delivery@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:keeps-copies/guest",
    generate_all,
});

use exports::sigillo::mail::{access, delivery, lifecycle};
use sigillo::mail::message::Message;
use sigillo::mail::passage::{Delivery, Transaction};
use sigillo::mail::types::{Error, Failure, Reply, Verdict};
use sigillo::mail::{archive, log};

/// Whose archive.
const ADA: &str = "Ada@alfa.example";

struct Copies;

impl lifecycle::Guest for Copies {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Copies {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        let message = transaction.message();
        let subject = message.header_text("Subject", 0).unwrap_or_default();
        if subject == "misuse" {
            misuse(&message);
            return Ok(Verdict::Continue);
        }
        let first = keep(&message, "k").map_err(failed)?;
        let again = keep(&message, "k").map_err(failed)?;
        let known = keep(&message, "known").map_err(failed)?;
        say(&format!("same {} known {known}", first == again));
        let items = archive::items(ADA, u64::MAX, None, 5000).map_err(failed)?;
        let opened = archive::open(ADA, &known).map_err(failed)?;
        let total = archive::usage(ADA).map_err(failed)?;
        let all = archive::mailboxes(None, 10).map_err(failed)?;
        say(&format!("{} of {} octets, {} opened, {}", items.len(), total.used, opened.size(), all.join(",")));
        archive::release(ADA, &known).map_err(failed)?;
        let reply = |code| Reply { code, enhanced: format!("{}.7.1", code / 100), text: "so".into() };
        Ok(match subject.as_str() {
            "discard" => Verdict::Discard("so".into()),
            "quarantine" => Verdict::Quarantine("so".into()),
            "reject" => Verdict::Reject(reply(554)),
            "defer" => Verdict::Defer(reply(451)),
            _ => Verdict::Continue,
        })
    }
}

impl delivery::Guest for Copies {
    fn run(delivery: &Delivery) -> Result<Verdict, Failure> {
        archive::keep(&delivery.recipient(), "d", "received", &delivery.message(), &[]).map_err(failed)?;
        Ok(Verdict::Continue)
    }
}

fn keep(message: &Message, key: &str) -> Result<String, Error> {
    archive::keep(ADA, key, "sent", message, &[("subject".into(), "x".into())])
}

/// Each must be refused; the last ones go over the limit of a step.
fn misuse(message: &Message) {
    let with = |name: &str, value: &str| {
        archive::keep(ADA, "p", "sent", message, &[(name.to_owned(), value.to_owned())]).is_err()
    };
    let twice = [("a".to_owned(), String::new()), ("a".to_owned(), String::new())];
    let many: Vec<_> = (0..17).map(|n| (format!("p{n}"), String::new())).collect();
    let refused = [
        archive::keep("nobody", "p", "sent", message, &[]).is_err(),
        archive::keep("unknown@alfa.example", "p", "sent", message, &[]).is_err(),
        archive::keep("x@elsewhere.example", "p", "sent", message, &[]).is_err(),
        archive::keep(ADA, "", "sent", message, &[]).is_err(),
        archive::keep(ADA, "p", "thrown", message, &[]).is_err(),
        with("Upper", "x"),
        with("line", "a\r\nb"),
        with("long", &"x".repeat(1025)),
        archive::keep(ADA, "p", "sent", message, &twice).is_err(),
        archive::keep(ADA, "p", "sent", message, &many).is_err(),
        archive::open(ADA, "nothing").is_err(),
        archive::release("nobody", "x").is_err(),
    ];
    say(&format!("refused {refused:?}"));
    let kept = (0..100).filter(|n| keep(message, &format!("many{n}")).is_ok()).count();
    say(&format!("kept {kept}"));
}

fn say(text: &str) {
    log::log(log::Level::Info, text);
}

fn failed(error: Error) -> Failure {
    Failure::Permanent(format!("{error:?}"))
}

export!(Copies);
