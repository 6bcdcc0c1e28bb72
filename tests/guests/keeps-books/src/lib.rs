//! Uses every capability that records something, and says in the log what it saw.

wit_bindgen::generate!({
    inline: "
        package guest:keeps-books;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
            export sigillo:mail/delivery@0.1.0;
            export sigillo:mail/stored@0.1.0;
            export sigillo:mail/outcome@0.1.0;
            export sigillo:mail/timer@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:keeps-books/guest",
    generate_all,
});

use exports::sigillo::mail::{access, delivery, lifecycle, outcome, stored, timer};
use sigillo::mail::content::Content;
use sigillo::mail::message::Message;
use sigillo::mail::passage::{Delivery, Transaction};
use sigillo::mail::types::{Error, Failure, Verdict};
use sigillo::mail::{clock, evidence, ids, log, settings, state, submit, timers};

/// Who signs the books.
const CLERK: &str = "clerk@alfa.example";

struct Books;

impl lifecycle::Guest for Books {
    fn configure() -> Result<(), String> {
        if settings::get().contains("wrong") { Err("the settings say something wrong".into()) } else { Ok(()) }
    }
}

impl access::Guest for Books {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        transaction.prepend_header("X-Booked", b"first\r\n\tand second line").map_err(failed)?;
        let count = book(&transaction.id(), &transaction.message()).map_err(failed)?;
        transaction.annotate("count", "none yet").map_err(failed)?;
        transaction.annotate("count", &count.to_string()).map_err(failed)?;
        Ok(Verdict::Continue)
    }
}

impl delivery::Guest for Books {
    fn run(delivery: &Delivery) -> Result<Verdict, Failure> {
        delivery.file_into("Books").and_then(|()| delivery.add_flag("$Booked")).map_err(failed)?;
        let count = book(&delivery.id(), &delivery.message()).map_err(failed)?;
        delivery.annotate("count", &count.to_string()).map_err(failed)?;
        Ok(Verdict::Continue)
    }
}

impl stored::Guest for Books {
    fn run(delivery: &Delivery) -> Result<Verdict, Failure> {
        if delivery.file_into("Books").is_ok() {
            return Err(Failure::Permanent("the folder was changed after the message was filed".into()));
        }
        Ok(Verdict::Continue)
    }
}

impl outcome::Guest for Books {
    fn run(delivery: &Delivery) -> Result<Verdict, Failure> {
        Ok(if delivery.status() == "failed" { Verdict::Discard("told".into()) } else { Verdict::Continue })
    }
}

impl timer::Guest for Books {
    fn run(key: String, payload: Vec<u8>) -> Result<(), Failure> {
        if payload == b"trouble" {
            return Err(Failure::Transient("not now".into()));
        }
        timers::cancel(&key).map_err(failed)
    }
}

fn book(id: &str, message: &Message) -> Result<u8, Error> {
    let count = state::get("count")?.and_then(|value| value.first().copied()).unwrap_or(0) + 1;
    state::set("count", &[count], 365)?;
    if state::get("count")? != Some(vec![count]) {
        return Err(Error::Extra(("own-write".into(), "not seen".into())));
    }
    state::set(&format!("entry.{count}"), id.as_bytes(), 365)?;
    state::delete("entry.0")?;
    let entries = state::scan("entry.", None, 10)?;
    let (first, second) = (ids::next(), ids::next());
    let subject = message.header_text("Subject", 0).unwrap_or_default();
    let copy = Content::new();
    copy.append(format!("From: {CLERK}\r\nMessage-ID: <{first}@alfa.example>\r\nSubject: booked\r\n\r\n").as_bytes())?;
    copy.append_range(message, 0, message.size())?;
    let queued = submit::submit("copy", CLERK, &["archive@alfa.example".into()], &copy)?;
    timers::set(&format!("look.{count}"), clock::now() + 1000, second.as_bytes())?;
    evidence::append(&evidence::Event {
        message_id: first,
        kind: "booked".into(),
        sender: message.addresses("From")?.into_iter().map(|a| a.mailbox).next().unwrap_or_default(),
        recipients: message.addresses("To")?.into_iter().map(|a| a.mailbox).collect(),
        subject,
        related: vec![queued],
        details: vec![("entries".into(), entries.join(","))],
    })?;
    let offset = clock::utc_offset("Europe/Rome", clock::now())?;
    log::log(log::Level::Info, &format!("booked {count}, {offset} s from UTC"));
    Ok(count)
}

fn failed(error: Error) -> Failure {
    Failure::Permanent(format!("{error:?}"))
}

export!(Books);
