//! Receipts and notices ([PEC §2.1.1.1]): one way to make them, whatever they certify.

use crate::address;
use crate::certification_data::{CertificationData, CertificationKind, ErrorKind};
use crate::content::Content;
use crate::header;
use crate::host::Failure;
use crate::mime;
use crate::signed_message::{self, Attached, Body, Signed};
use crate::step::Step;
use crate::text::{self, Text};
use crate::wire;

/// A signed receipt or notice, not yet queued.
pub struct Receipt {
    data: CertificationData,
    to: String,
    message_id: String,
    signed: Signed,
}

impl Receipt {
    /// Makes and signs a receipt of the kind that `data` says. Only the points of this crate call it, each with the
    /// value that proves what the receipt certifies.
    pub(crate) fn compose(
        step: &Step,
        data: CertificationData,
        to: &str,
        text: Text,
        original: Option<Attached>,
    ) -> Result<Receipt, Failure> {
        let message_id = step.new_identifier();
        let fields = fields(step, &data, to, &message_id)?;
        let body = Body { text: text.written(step.settings), data: Some(data.write()), original };
        let signed = signed_message::compose(step, &fields, &body)?;
        Ok(Receipt { data, to: to.to_owned(), message_id, signed })
    }

    /// Its own Message-ID, without brackets.
    pub fn message_id(&self) -> &str {
        &self.message_id
    }

    /// What it certifies.
    pub fn data(&self) -> &CertificationData {
        &self.data
    }

    /// The message.
    pub fn content(&self) -> &Content {
        &self.signed.content
    }

    /// The signature value, DER.
    pub fn signature(&self) -> &[u8] {
        &self.signed.signature
    }

    /// Queues it in the commit of this step. The sender is the service address: real receipts do not come from the
    /// null path. Returns the queue id.
    pub fn submit(&self, step: &Step) -> Result<String, Failure> {
        let key = format!("{}:{}", self.data.kind.word(), self.message_id);
        let to = std::slice::from_ref(&self.to);
        step.host
            .submit(&key, &step.settings.service_address, to, &self.signed.content)
            .map_err(|error| error.during("queueing a receipt"))
    }
}

/// PEC §2.1, §3: the header of every receipt and notice.
fn fields(step: &Step, data: &CertificationData, to: &str, message_id: &str) -> Result<Vec<u8>, Failure> {
    if data.kind == CertificationKind::TransportEnvelope {
        return Err(Failure::Permanent(format!("no receipt of kind {}", data.kind.word())));
    }
    let prefix = text::subject_prefix(data.kind, data.error);
    let mut fields = format!("{}: {}\r\n", wire::X_RICEVUTA, data.kind.word()).into_bytes();
    // PEC §3.1.3, §3.2.4: what a user gets about a virus; PEC §3.2.3: what a provider gets.
    let to_user = matches!(data.kind, CertificationKind::NonAcceptance | CertificationKind::NonDelivery);
    if to_user && data.error == ErrorKind::Virus {
        fields.extend(format!("{}: {}\r\n", wire::X_VERIFICA_SICUREZZA, wire::ERRORE).into_bytes());
    }
    if data.kind == CertificationKind::VirusDetection && address::is_address(&data.sender) {
        fields.extend(format!("{}: {}\r\n", wire::X_MITTENTE, data.sender).into_bytes());
    }
    fields.extend(format!("Date: {}\r\n", step.time.date_field()).into_bytes());
    let subject = data.subject.as_deref().map(header::one_line).unwrap_or_default();
    fields.extend(mime::unstructured_field("Subject", prefix, &subject));
    // A bare address: "Per conto di" is for envelopes.
    fields.extend(format!("From: {}\r\nTo: {to}\r\n", step.settings.service_address).into_bytes());
    if let Some(id) = data.message_id.as_deref().filter(|id| header::is_message_id(id)) {
        fields.extend(format!("{}: {id}\r\n", wire::X_RIFERIMENTO_MESSAGE_ID).into_bytes());
    }
    fields.extend(format!("Message-ID: <{message_id}>\r\n").into_bytes());
    Ok(fields)
}
