//! Where the parts of a certified message are, and what can be wrong with its form.

use std::fmt;

use crate::certification_data::{CertificationData, DataError};
use crate::header::Header;
use crate::host::{Failure, Message, Part};
use crate::wire;

/// Why a provider's message is not a correct envelope or receipt (C4). The text is for people, Italian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormProblem {
    /// `X-Trasporto` and `X-Ricevuta` do not say one kind.
    TypeFields,
    /// The parts are not those of the rules, or readers may disagree about them.
    Parts(&'static str),
    /// The certification data cannot be used.
    Data(DataError),
    /// The kind of the header is not the kind of the data.
    Kind,
    /// A field of the header is missing or repeated.
    Field(&'static str),
    /// `Message-ID` is not the identifier.
    Identifier,
    /// The identifier was used for another message.
    IdentifierUsed,
    /// `From` is no address of the signer's certificate, or not under the signer's domains.
    From,
    /// The sender is not of the provider that signed.
    Sender,
    /// The reverse path is not the sender.
    ReversePath,
    /// A recipient of the transaction is not one of the message.
    Recipient,
    /// The recipients that the receipt is about are not the signer's to speak of.
    Concerned,
    /// A receipt of this kind does not come from there, or does not go there.
    Route,
}

impl fmt::Display for FormProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TypeFields => write!(f, "campi X-Trasporto e X-Ricevuta non validi"),
            Self::Parts(part) => write!(f, "struttura del messaggio non valida: {part}"),
            Self::Data(DataError::NotWellFormed) => write!(f, "dati di certificazione non leggibili"),
            Self::Data(DataError::Invalid(element)) => write!(f, "dati di certificazione non validi: {element}"),
            Self::Kind => write!(f, "tipo del messaggio diverso da quello dei dati di certificazione"),
            Self::Field(field) => write!(f, "campo {field} mancante o ripetuto"),
            Self::Identifier => write!(f, "campo Message-ID diverso dall'identificativo dei dati di certificazione"),
            Self::IdentifierUsed => write!(f, "identificativo già usato per un altro messaggio"),
            Self::From => write!(f, "campo From diverso dall'indirizzo del gestore firmatario"),
            Self::Sender => write!(f, "mittente non appartenente al gestore firmatario"),
            Self::ReversePath => write!(f, "mittente della trasmissione diverso da quello dei dati di certificazione"),
            Self::Recipient => write!(f, "destinatario della trasmissione assente dai dati di certificazione"),
            Self::Concerned => write!(f, "ricevuta per destinatari non appartenenti al gestore firmatario"),
            Self::Route => write!(f, "ricevuta non ammessa per provenienza o destinazione"),
        }
    }
}

/// The parts of a certified message.
pub struct CertifiedParts {
    /// Index of `daticert.xml`.
    pub data: u32,
    /// Index of `postacert.eml`, if there is one.
    pub original: Option<u32>,
    /// All parts of the message.
    pub all: Vec<Part>,
}

impl CertifiedParts {
    /// Finds the parts below the signed one: by type and name, never by place (PEC §4.3), but the text first.
    pub fn locate(message: &dyn Message, signed_part: u32) -> Result<Result<CertifiedParts, FormProblem>, Failure> {
        let Ok(all) = message.parts() else { return Ok(Err(FormProblem::Parts("MIME"))) };
        let of_signed: Vec<u32> =
            (0..all.len() as u32).filter(|&i| all[i as usize].parent == Some(signed_part)).collect();
        let is_text = |part: &Part| part.media_type.starts_with("text/") || part.media_type == "multipart/alternative";
        if !of_signed.first().is_some_and(|&i| is_text(&all[i as usize])) {
            return Ok(Err(FormProblem::Parts("testo")));
        }
        let named = |name: &'static str| {
            of_signed.iter().copied().filter(|&i| all[i as usize].is_named(name)).collect::<Vec<_>>()
        };
        let (data, original) = (named(wire::DATICERT_XML), named(wire::POSTACERT_EML));
        let (&[data], true) = (data.as_slice(), original.len() <= 1) else {
            return Ok(Err(FormProblem::Parts(wire::DATICERT_XML)));
        };
        let original = original.first().copied();
        let is_message = |i: u32| all[i as usize].media_type == "message/rfc822";
        if original.is_some_and(|i| !is_message(i)) || of_signed.iter().any(|&i| is_message(i) && Some(i) != original) {
            return Ok(Err(FormProblem::Parts(wire::POSTACERT_EML)));
        }
        let matters = [Some(0), Some(signed_part), Some(data), original];
        if matters.iter().flatten().any(|&i| all.get(i as usize).is_none_or(|part| part.ambiguous)) {
            return Ok(Err(FormProblem::Parts("MIME")));
        }
        Ok(Ok(CertifiedParts { data, original, all }))
    }

    /// Reads the certification data.
    pub fn read_data(&self, message: &dyn Message) -> Result<(CertificationData, bool), FormProblem> {
        // Too large or not decodable: the fault is the message's.
        let bytes = message.read_decoded(self.data).map_err(|_| FormProblem::Data(DataError::NotWellFormed))?;
        let reading = CertificationData::read(&bytes).map_err(FormProblem::Data)?;
        Ok((reading.data, reading.in_order))
    }

    /// The part of the original message.
    pub fn original_part(&self) -> Option<&Part> {
        self.original.and_then(|index| self.all.get(index as usize))
    }

    /// The original's own root part: the first below `postacert.eml`.
    pub fn original_root(&self) -> Option<&Part> {
        self.all.iter().find(|part| part.parent.is_some() && part.parent == self.original)
    }

    /// The header section of the original message.
    pub fn original_header(&self, message: &dyn Message) -> Option<Header> {
        let root = self.original_root()?;
        Header::read(message, root.header_offset, root.body_offset).ok()
    }
}
