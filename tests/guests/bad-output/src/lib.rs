//! Gives the host what would break a protocol, one kind at a time: the settings are `{"kind":"NAME"}`.
//!
//! What the host refuses in a call goes to the reply, so that a test reads it there.

wit_bindgen::generate!({
    inline: "
        package guest:bad-output;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:bad-output/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle};
use sigillo::mail::content::Content;
use sigillo::mail::passage::Transaction;
use sigillo::mail::types::{Error, Failure, Reply, Verdict};
use sigillo::mail::{settings, submit};

struct Bad;

impl lifecycle::Guest for Bad {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Bad {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        let settings = settings::get();
        match settings.split('"').nth(3).unwrap_or_default() {
            "header-line-end" => told(transaction.prepend_header("X-A", b"one\r\nBcc: mallory@evil.example")),
            "header-bare-lf" => told(transaction.prepend_header("X-A", b"one\n two")),
            "header-nul" => told(transaction.prepend_header("X-A", b"one\0two")),
            "header-8bit" => told(transaction.prepend_header("X-A", "perché".as_bytes())),
            "header-name" => told(transaction.prepend_header("X-A: x\r\nBcc", b"y")),
            "header-long" => told(transaction.prepend_header("X-A", &[b'a'; 999])),
            "content-bare-lf" => told(content(b"Subject: x\r\n\r\nhi\n.\nMAIL FROM:<>\r\n", transaction)),
            "content-open-end" => told(content(b"Subject: x\r\n\r\nhi", transaction)),
            "content-split" => told(split(transaction)),
            "reverse-path" => told(submitted("mallory@evil.example", &["ada@alfa.example"])),
            "recipient" => told(submitted("", &["ada@alfa.example> SIZE=1\r\nDATA"])),
            "no-recipient" => told(submitted("", &[])),
            "same-key" => told(submitted("", &["ada@alfa.example"]).and_then(|()| submitted("", &["b@alfa.example"]))),
            "annotate-line-end" => told(transaction.annotate("verdict", "clean\r\nBcc: mallory@evil.example")),
            "annotate-name" => told(transaction.annotate("keeps-books.count", "0")),
            "annotate-many" => told((0..17).try_for_each(|n| transaction.annotate(&format!("n{n}"), "x"))),
            "annotate" => annotated(transaction, Ok(Verdict::Continue)),
            "annotate-and-fail" => annotated(transaction, Err(Failure::Transient("not now".into()))),
            "read" => read(transaction),
            "reply-line-end" => reject(550, "5.7.1", "no\r\n250 yes".into()),
            "reply-8bit" => reject(550, "5.7.1", "perché no".into()),
            "reply-long" => reject(550, "5.7.1", "no ".repeat(200)),
            "reply-code" => reject(250, "5.7.1", "no".into()),
            "reply-class" => reject(550, "4.7.1", "no".into()),
            "reply-enhanced" => reject(550, "5.7.1\r\n", "no".into()),
            "quarantine-line-end" => Ok(Verdict::Quarantine("bad\r\nthing".into())),
            "accept" => Ok(Verdict::Accept),
            "discard" => Ok(Verdict::Discard("because".into())),
            "failure" => Err(Failure::Permanent("cannot\r\nwork".into())),
            kind => Err(Failure::Permanent(format!("no such kind: {kind}"))),
        }
    }
}

fn content(bytes: &[u8], transaction: &Transaction) -> Result<(), Error> {
    let content = Content::new();
    content.append(bytes)?;
    transaction.replace_content(&content)
}

/// Two ranges of the message, cut between a CR and its LF.
fn split(transaction: &Transaction) -> Result<(), Error> {
    let message = transaction.message();
    let cr = message.find(b"\r\n", 0, message.size())?.unwrap_or_default();
    let content = Content::new();
    content.append_range(&message, 0, cr + 1)?;
    content.append(b"x\r\n")?;
    transaction.replace_content(&content)
}

fn submitted(reverse_path: &str, recipients: &[&str]) -> Result<(), Error> {
    let content = Content::new();
    content.append(b"Subject: x\r\n\r\nhi\r\n")?;
    let recipients: Vec<String> = recipients.iter().map(|r| (*r).to_owned()).collect();
    submit::submit("one", reverse_path, &recipients, &content).map(drop)
}

fn annotated(transaction: &Transaction, answer: Result<Verdict, Failure>) -> Result<Verdict, Failure> {
    match transaction.annotate("ip", "203.0.113.9") {
        Ok(()) => answer,
        refused => told(refused),
    }
}

/// What the steps before left, and what the server itself says.
fn read(transaction: &Transaction) -> Result<Verdict, Failure> {
    let said = |name: &str| format!("{name} is {:?}; ", transaction.property(name));
    let names = ["keeps-books.count", "liar.ip", "peer.ip", "ip", "reader.ip"];
    reject(550, "5.0.0", names.iter().map(|name| said(name)).collect())
}

fn told(result: Result<(), Error>) -> Result<Verdict, Failure> {
    let text = match result {
        Ok(()) => "taken".to_owned(),
        Err(Error::Invalid(why)) => format!("invalid: {why}"),
        Err(error) => format!("{error:?}"),
    };
    let text = text.chars().filter(|c| (' '..='~').contains(c)).take(400).collect();
    reject(550, "5.0.0", text)
}

fn reject(code: u16, enhanced: &str, text: String) -> Result<Verdict, Failure> {
    Ok(Verdict::Reject(Reply { code, enhanced: enhanced.into(), text }))
}

export!(Bad);
