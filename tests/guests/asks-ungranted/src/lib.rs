//! Signs something with the key that its settings name, `{"key":"NAME"}`, and refuses the message with what it got; with
//! `"then":"trap"` behind the key it ends in a trap after the signature.

wit_bindgen::generate!({
    inline: "
        package guest:asks-ungranted;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:asks-ungranted/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle};
use sigillo::mail::content::Content;
use sigillo::mail::passage::Transaction;
use sigillo::mail::types::{Failure, Reply, Verdict};
use sigillo::mail::{settings, signer};

struct Asks;

impl lifecycle::Guest for Asks {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

impl access::Guest for Asks {
    fn run(_: &Transaction) -> Result<Verdict, Failure> {
        let settings = settings::get();
        let key = settings.split('"').nth(3).unwrap_or_default();
        let note = Content::new();
        note.append(b"Subject: sealed\r\n\r\n").map_err(|error| Failure::Permanent(format!("{error:?}")))?;
        let text = match signer::sign(key, &note) {
            Ok(signature) => format!("signed: {} octets", signature.len()),
            Err(error) => format!("refused: {error:?}"),
        };
        if settings.contains("\"trap\"") {
            panic!("after the signature");
        }
        Ok(Verdict::Reject(Reply { code: 550, enhanced: "5.7.1".into(), text }))
    }
}

export!(Asks);
