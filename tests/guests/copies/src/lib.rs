//! Replaces the message with a copy of itself, made of many pieces: ranges, bytes, and content in content.

wit_bindgen::generate!({
    inline: "
        package guest:copies;
        world guest {
            include sigillo:mail/imports@0.1.0;
            export sigillo:mail/lifecycle@0.1.0;
            export sigillo:mail/access@0.1.0;
        }
    ",
    path: ["../../../wit"],
    world: "guest:copies/guest",
    generate_all,
});

use exports::sigillo::mail::{access, lifecycle};
use sigillo::mail::content::Content;
use sigillo::mail::passage::Transaction;
use sigillo::mail::types::{Error, Failure, Verdict};

struct Copies;

impl lifecycle::Guest for Copies {
    fn configure() -> Result<(), String> {
        Ok(())
    }
}

/// Octets of a piece: a prime, so that pieces end anywhere.
const PIECE: u64 = 61;
/// Beyond this many pieces the rest is one range.
const PIECES_MAX: u64 = 64;

impl access::Guest for Copies {
    fn run(transaction: &Transaction) -> Result<Verdict, Failure> {
        copy(transaction).map(|()| Verdict::Continue).map_err(|error| Failure::Permanent(format!("{error:?}")))
    }
}

fn copy(transaction: &Transaction) -> Result<(), Error> {
    let message = transaction.message();
    let (size, copy) = (message.size(), Content::new());
    let mut at = 0;
    for piece in 0..PIECES_MAX.min(size.div_ceil(PIECE)) {
        let length = PIECE.min(size - at);
        match piece % 3 {
            0 => copy.append_range(&message, at, length)?,
            1 => copy.append(&message.read(at, length as u32)?)?,
            _ => {
                let inner = Content::new();
                inner.append_range(&message, at, length)?;
                copy.append_content(&inner)?;
            }
        }
        at += length;
    }
    copy.append_range(&message, at, size - at)?;
    transaction.replace_content(&copy)
}

export!(Copies);
