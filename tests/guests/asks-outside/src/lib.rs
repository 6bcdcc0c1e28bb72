//! Asks targets outside, one kind of use at a time: the settings are `{"kind":"NAME"}`. What it is told at `access` goes
//! to the state under `told`, and what an answer says under its key, so that a test reads it there.

wit_bindgen::generate!({
    inline: "
        package guest:asks-outside;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
            export sigillo:mail/answer@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:asks-outside/guest",
    generate_all,
});

use exports::sigillo::mail::{access, answer, lifecycle};
use sigillo::mail::content::Content;
use sigillo::mail::outbox::{known, queue};
use sigillo::mail::passage::{Answer, Transaction};
use sigillo::mail::types::{Error, Failure, Verdict};
use sigillo::mail::{settings, state};

struct AsksOutside;

impl lifecycle::Guest for AsksOutside {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

fn keep(key: &str, told: &str) -> Result<(), Failure> {
    state::set(key, told.as_bytes(), 1).map_err(|error| Failure::Permanent(format!("{error:?}")))
}

impl access::Guest for AsksOutside {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        let settings = settings::get();
        let kind = settings.split('"').nth(3).unwrap_or_default();
        let told = ask(kind, transaction).map_or_else(|error| format!("{error:?}"), |told| told);
        keep("told", &told)?;
        Ok(Verdict::Continue)
    }
}

fn ask(kind: &str, transaction: &Transaction) -> Result<String, Error> {
    let one = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    match kind {
        "known" => Ok(format!("{} {}", known("gateway"), known("other"))),
        "once" => {
            let content = Content::new();
            let message = transaction.message();
            content.append_range(&message, 0, message.size())?;
            queue("gateway", "a.1", &one("path", "/x"), Some(&content))?;
            queue("gateway", "a.1", &one("path", "/y"), None)?;
            queue("gateway", "a.2", &[], None)?;
            Ok("queued".into())
        }
        "many" => {
            for index in 0..300 {
                queue("gateway", &format!("k{index}"), &[], None)?;
            }
            Ok("queued".into())
        }
        "bad-key" => queue("gateway", "a b", &[], None).map(|()| "queued".into()),
        "long" => queue("gateway", "a", &one("path", &"x".repeat(40_000)), None).map(|()| "queued".into()),
        "bad-parameter" => queue("gateway", "a", &one("colour", "red"), None).map(|()| "queued".into()),
        target => queue(target, "a", &[], None).map(|()| "queued".into()),
    }
}

impl answer::Guest for AsksOutside {
    fn run(answer: &Answer) -> Result<(), Failure> {
        let key = answer.key();
        if key == "fails" {
            return Err(Failure::Permanent("does not want to know".into()));
        }
        let body = String::from_utf8_lossy(&answer.body()).into_owned();
        let told = format!(
            "{} {} {:?} {} {body} {}",
            answer.target(),
            answer.status(),
            answer.code(),
            answer.text(),
            answer.property("ended").unwrap_or_default()
        );
        keep(&key, &told)
    }
}

export!(AsksOutside);
