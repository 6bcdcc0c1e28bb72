//! What an original message says of itself and its transaction, before anything is checked.

use crate::address;
use crate::certification_data::{
    CertificationData, CertificationKind, DeliveryReceiptKind, ErrorKind, Recipient, RecipientKind,
};
use crate::content::Content;
use crate::header::{self, Header};
use crate::host::{Address, Failure, Transaction};
use crate::step::Step;
use crate::wire;

/// An original message as the access point got it.
pub struct OriginalMessage {
    /// Its header section; none if it is too large to read.
    pub header: Option<Header>,
    /// Octets of the whole message.
    pub size: u64,
    /// The reverse path: certification data come from the transaction (PEC §2.1).
    pub sender: String,
    /// The forward paths, each once, with their kinds.
    pub recipients: Vec<Recipient>,
    /// `Reply-To:`, or the sender.
    pub reply_to: String,
    /// Decoded.
    pub subject: Option<String>,
    /// The client's Message-ID with brackets, if it is one.
    pub message_id: Option<String>,
    /// The form of delivery receipt that the sender asks for.
    pub receipt_kind: DeliveryReceiptKind,
    /// The identifier that this transaction gets.
    pub identifier: String,
}

impl OriginalMessage {
    /// Gathers the facts of the message in hand.
    pub fn gather(step: &Step, transaction: &Transaction) -> Result<OriginalMessage, Failure> {
        let message = step.host.message();
        let header = match message.header_size() {
            size if size > header::ORIGINAL_HEADER_MAX => None,
            size => Some(Header::read(message, 0, size).map_err(|error| error.during("header section"))?),
        };
        let value = |name: &str| header.as_ref().and_then(|header| header.value(name));
        let usable = |list: Vec<Address>| list.into_iter().map(|a| a.mailbox).find(|a| address::is_address(a));
        let reply_to = message.addresses("Reply-To").ok().and_then(usable);
        Ok(OriginalMessage {
            size: message.size(),
            sender: transaction.reverse_path.clone(),
            recipients: typed(step, &address::distinct(&transaction.recipients))?,
            reply_to: reply_to.unwrap_or_else(|| transaction.reverse_path.clone()),
            subject: step.subject(),
            message_id: value("Message-ID").filter(|id| header::is_message_id(id)),
            // A word that is none of the three is a client's mistake, seen in the wild; the default stands in.
            receipt_kind: value(wire::X_TIPO_RICEVUTA)
                .and_then(|word| DeliveryReceiptKind::parse(&word))
                .unwrap_or(DeliveryReceiptKind::Complete),
            identifier: step.new_identifier(),
            header,
        })
    }

    /// The certification data of an event of this original.
    pub fn data(&self, step: &Step, kind: CertificationKind) -> CertificationData {
        CertificationData {
            kind,
            error: ErrorKind::None,
            sender: self.sender.clone(),
            recipients: self.recipients.clone(),
            reply_to: self.reply_to.clone(),
            subject: self.subject.clone(),
            provider: step.settings.provider_name.clone(),
            instant: (&step.time).into(),
            identifier: self.identifier.clone(),
            message_id: self.message_id.clone(),
            receipt_kind: None,
            delivery: None,
            taken_in_charge: Vec::new(),
            extended_error: None,
        }
    }
}

/// Each recipient with its kind: certified where its domain, exactly, is in the index (PEC §2.2.1).
fn typed(step: &Step, recipients: &[String]) -> Result<Vec<Recipient>, Failure> {
    let mut known = std::collections::BTreeMap::new();
    let mut typed = Vec::with_capacity(recipients.len());
    for recipient in recipients {
        let domain = address::domain(recipient);
        let certified = match known.get(&domain) {
            Some(certified) => *certified,
            None => step.host.is_certified(&domain).map_err(|error| error.during("index of providers"))?,
        };
        known.insert(domain, certified);
        let kind = if certified { RecipientKind::Certified } else { RecipientKind::External };
        typed.push(Recipient { address: recipient.clone(), kind });
    }
    Ok(typed)
}

/// The original as it travels, `postacert.eml` ([PEC §2.2.1]): the bytes as the access point got them, but
///
/// - the field `Message-ID` is replaced, where it stands, by `Message-ID: <identifier>` and, on the next line,
///   `X-Riferimento-Message-ID: ` with the client's value; without one, `Message-ID` alone ends the header section;
/// - fields `X-Riferimento-Message-ID` that were there (somebody forwards a certified message) are left out.
///
/// `header` is the header section of the message in hand, from its first octet.
pub fn postacert(header: &Header, size: u64, identifier: &str, message_id: Option<&str>) -> Content {
    let mut new_fields = format!("Message-ID: <{identifier}>\r\n");
    if let Some(message_id) = message_id {
        new_fields.push_str(&format!("{}: {message_id}\r\n", wire::X_RIFERIMENTO_MESSAGE_ID));
    }
    let replaced = header.places("Message-ID");
    let insert_at = replaced.first().map_or(header.end(), |place| place.start);
    let mut removed = replaced;
    removed.extend(header.places(wire::X_RIFERIMENTO_MESSAGE_ID));
    removed.push(insert_at..insert_at);
    removed.sort_by_key(|place| (place.start, place.end));
    let mut content = Content::new();
    let mut at = 0;
    for place in removed {
        content.range(at as u64, place.start.saturating_sub(at) as u64);
        if place.start == insert_at && place.is_empty() {
            content.bytes(&new_fields);
        }
        at = at.max(place.end);
    }
    content.range(at as u64, size.saturating_sub(at as u64));
    content
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::Piece;

    fn rewritten(message: &str, message_id: Option<&str>) -> String {
        let header = Header::parse(message.as_bytes().to_vec());
        let content = postacert(&header, message.len() as u64, "ID@alfa.example", message_id);
        let bytes = |piece: &Piece| match piece {
            Piece::Bytes(bytes) => String::from_utf8(bytes.clone()).unwrap(),
            Piece::Range { offset, length } => message[*offset as usize..(*offset + *length) as usize].to_owned(),
        };
        content.pieces().iter().map(bytes).collect()
    }

    #[test]
    fn only_the_identifier_changes() {
        let before = "Received: x\r\nMessage-ID:\r\n <a@b>\r\nSubject: s  \r\n\r\nbody \r\n.\r\n";
        let after = "Received: x\r\nMessage-ID: <ID@alfa.example>\r\nX-Riferimento-Message-ID: <a@b>\r\nSubject: s  \r\n\r\nbody \r\n.\r\n";
        assert_eq!(rewritten(before, Some("<a@b>")), after);
    }

    #[test]
    fn an_older_reference_goes_wherever_it_stands() {
        let before =
            "X-Riferimento-Message-ID: <old@c>\r\nMessage-ID: <a@b>\r\nx-riferimento-message-id: <old@d>\r\n\r\n";
        let after = "Message-ID: <ID@alfa.example>\r\nX-Riferimento-Message-ID: <a@b>\r\n\r\n";
        assert_eq!(rewritten(before, Some("<a@b>")), after);
    }

    #[test]
    fn without_a_message_id_one_ends_the_header_section() {
        assert_eq!(rewritten("A: b\r\n\r\nx", None), "A: b\r\nMessage-ID: <ID@alfa.example>\r\n\r\nx");
        assert_eq!(rewritten("A: b\r\n", None), "A: b\r\nMessage-ID: <ID@alfa.example>\r\n");
    }
}
