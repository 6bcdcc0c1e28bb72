//! What somebody at Gamma, or nobody at all, makes of a genuine message.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pec::host::Message;

use super::network::{Filed, Item, domain};
use crate::world::parse::Parsed;
use crate::world::sign;

/// Ways to forge.
#[derive(Debug, Clone, Copy)]
pub enum Forgery {
    /// A word of what is signed is another.
    Altered,
    /// Signed anew with Gamma's key, in Gamma's name, to its recipient.
    SignedByGamma,
    /// Signed anew with Gamma's key in the name of the house that it came from.
    GammaAsAnother,
    /// Signed by a key that no provider has.
    SignedByNobody,
    /// The certified fields on a message that nobody signed.
    Dressed,
    /// The same bytes from another sender: receipts would go there.
    OtherReversePath,
    /// The same bytes to somebody whom they do not name.
    OtherRecipient,
}

pub const ALL: [Forgery; 7] = [
    Forgery::Altered,
    Forgery::SignedByGamma,
    Forgery::GammaAsAnother,
    Forgery::SignedByNobody,
    Forgery::Dressed,
    Forgery::OtherReversePath,
    Forgery::OtherRecipient,
];

/// A forgery of a genuine message of Alfa or Beta; none where this way would not be one.
pub fn forge(forgery: Forgery, genuine: &Item) -> Option<Item> {
    let is = Filed::read(&genuine.bytes);
    let data = is.data.as_ref()?;
    let (is_envelope, signer) = (is.word == "posta-certificata", domain(&is.from).to_owned());
    if !["alfa.example", "beta.example"].contains(&signer.as_str()) {
        return None;
    }
    let mut forged = Item { origin: Some("gamma"), at_door: false, forged: true, ..genuine.clone() };
    match forgery {
        Forgery::Altered => forged.bytes = replaced(&genuine.bytes, "Il giorno ", "Il Giorno "),
        Forgery::SignedByNobody => forged.bytes = signed_anew(&genuine.bytes, "Nobody"),
        Forgery::GammaAsAnother => forged.bytes = signed_anew(&genuine.bytes, "Gamma"),
        Forgery::SignedByGamma => {
            // To its own users Gamma may say that another house could not be reached, and a notice about a recipient of
            // its own would be Gamma's to give.
            if domain(&genuine.to[0]) == "gamma.example" {
                return None;
            }
            if data.delivery.iter().chain(&data.taken_in_charge).any(|r| domain(r) == "gamma.example") {
                return None;
            }
            let address = format!("posta-certificata@{signer}");
            let mut bytes = replaced(&genuine.bytes, &address, "posta-certificata@gamma.example");
            // One of its own, not the genuine one seen again.
            match is_envelope {
                true => bytes = renamed(&bytes, &data.identifier, &data.identifier.replace(&signer, "gamma.example")),
                false => bytes = replaced(&bytes, "\r\nMessage-ID: <", "\r\nMessage-ID: <gamma."),
            }
            forged.bytes = signed_anew(&bytes, "Gamma");
            forged.from = if is_envelope { forged.from } else { "posta-certificata@gamma.example".to_owned() };
        }
        Forgery::Dressed => {
            let word = if is_envelope { "X-Trasporto: posta-certificata" } else { "X-Ricevuta: avvenuta-consegna" };
            let text =
                "\r\nFrom: posta-certificata@alfa.example\r\nTo: x@y.example\r\nSubject: CONSEGNA: x\r\n\r\nx\r\n";
            forged.bytes = [word, text].concat().into_bytes();
        }
        Forgery::OtherReversePath if is_envelope => forged.from = "gina@gamma.example".to_owned(),
        Forgery::OtherRecipient => {
            let all = data.recipient_addresses();
            let others =
                ["carla@alfa.example", "dora@beta.example"].into_iter().filter(|a| domain(a) == domain(&genuine.to[0]));
            let other = others.into_iter().find(|other| !all.iter().any(|a| a == other) && genuine.to[0] != *other)?;
            forged.to = vec![other.to_owned()];
        }
        Forgery::OtherReversePath => return None,
    }
    Some(forged)
}

fn replaced(bytes: &[u8], from: &str, to: &str) -> Vec<u8> {
    String::from_utf8_lossy(bytes).replace(from, to).into_bytes()
}

/// The same message with another identifier, in the certification data too.
fn renamed(message: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut text = String::from_utf8_lossy(message).into_owned();
    let start = text.find("PD94bWwg").unwrap();
    let end = start + text[start..].find("\r\n\r\n--").unwrap();
    let xml = String::from_utf8(STANDARD.decode(text[start..end].replace("\r\n", "")).unwrap()).unwrap();
    text.replace_range(start..end, &STANDARD.encode(xml.replace(from, to)));
    replaced(text.as_bytes(), from, to)
}

/// The same message under a signature by another key.
fn signed_anew(message: &[u8], key: &str) -> Vec<u8> {
    let parts = Parsed::new(message).parts().unwrap();
    let (signed, signature) = (&parts[1], parts.iter().rfind(|part| part.parent == Some(0)).unwrap());
    let entity = &message[signed.header_offset as usize..signed.end() as usize];
    let value = STANDARD.encode(sign(key, entity));
    let (head, tail) = (&message[..signature.body_offset as usize], &message[signature.end() as usize..]);
    [head, value.as_bytes(), b"\r\n", tail].concat()
}
