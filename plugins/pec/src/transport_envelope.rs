//! The transport envelope ([PEC §3.1.5]): the original and its certification data under the provider's signature.

use crate::certification_data::{CertificationData, CertificationKind};
use crate::content::Content;
use crate::formal_checks::FormallyValid;
use crate::host::Failure;
use crate::mime;
use crate::original;
use crate::signed_message::{self, Attached, Body, Signed};
use crate::step::Step;
use crate::text;
use crate::wire;

/// Fields that pass unchanged from the original to its envelope, by their place in it. PEC §3.1.5.
const TRACE: [&str; 2] = ["Return-Path", "Received"];
const RECIPIENTS: [&str; 2] = ["To", "Cc"];

/// A signed transport envelope, made only from a [`FormallyValid`] original.
pub struct TransportEnvelope {
    data: CertificationData,
    signed: Signed,
}

impl TransportEnvelope {
    /// Makes and signs the envelope of an original.
    pub fn compose(step: &Step, valid: &FormallyValid) -> Result<TransportEnvelope, Failure> {
        let original = valid.original();
        let mut data = original.data(step, CertificationKind::TransportEnvelope);
        data.receipt_kind = Some(original.receipt_kind);
        let attached = Attached {
            content: original::postacert(
                valid.header(),
                original.size,
                &original.identifier,
                original.message_id.as_deref(),
            ),
            eight_bit: signed_message::is_eight_bit(step.host.message())?,
        };
        let body = Body {
            text: text::transport_envelope(&data).written(step.settings),
            data: Some(data.write()),
            original: Some(attached),
        };
        let signed = signed_message::compose(step, &fields(step, valid, &data), &body)?;
        Ok(TransportEnvelope { data, signed })
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
}

fn fields(step: &Step, valid: &FormallyValid, data: &CertificationData) -> Vec<u8> {
    let message = step.host.message();
    let original = valid.original();
    let mut fields = signed_message::inherited(message, &TRACE);
    fields.extend(format!("{}: {}\r\n", wire::X_TRASPORTO, wire::POSTA_CERTIFICATA).into_bytes());
    fields.extend(format!("Date: {}\r\n", step.time.date_field()).into_bytes());
    let subject = data.subject.as_deref().unwrap_or_default();
    fields.extend(mime::unstructured_field("Subject", wire::SUBJECT_TRANSPORT, subject));
    let display_name = format!("{}{}", wire::ON_BEHALF_OF, original.sender);
    fields.extend(mime::from_field(&display_name, &step.settings.service_address).into_bytes());
    fields.extend(signed_message::inherited(message, &RECIPIENTS));
    match message.header_count("Reply-To") {
        0 => fields.extend(format!("Reply-To: {}\r\n", original.sender).into_bytes()),
        _ => fields.extend(signed_message::inherited(message, &["Reply-To"])),
    }
    fields.extend(format!("Message-ID: <{}>\r\n", data.identifier).into_bytes());
    if let Some(id) = &data.message_id {
        fields.extend(format!("{}: {id}\r\n", wire::X_RIFERIMENTO_MESSAGE_ID).into_bytes());
    }
    fields.extend(format!("{}: {}\r\n", wire::X_TIPO_RICEVUTA, original.receipt_kind.word()).into_bytes());
    fields
}
