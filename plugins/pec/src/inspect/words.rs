//! The words of the answers, and text out of header fields of parts ([RFC 2047]).

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::certification_data::CertificationKind;
use crate::host::Message;
use crate::wire;

/// Longest value that an answer repeats, octets: a header may hold a thousand addresses, an answer has 4 MiB.
const VALUE_MAX: usize = 16 * 1024;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// A receipt, notice or transport envelope.
    Certified(CertificationKind),
    /// An anomaly envelope (PEC §3.2.2).
    Anomaly,
    /// Anything else.
    Ordinary,
}

impl Type {
    /// By the fields of the header; by the certification data where those say nothing.
    pub fn of(message: &dyn Message, data: Option<CertificationKind>) -> Type {
        let word = |name| message.header_text(name, 0).map(|text| text.trim().to_owned());
        let receipt = word(wire::X_RICEVUTA).and_then(|word| CertificationKind::parse(&word));
        match (receipt, word(wire::X_TRASPORTO)) {
            (Some(kind), _) => Type::Certified(kind),
            (None, Some(word)) if word.eq_ignore_ascii_case(wire::POSTA_CERTIFICATA) => {
                Type::Certified(CertificationKind::TransportEnvelope)
            }
            (None, Some(word)) if word.eq_ignore_ascii_case(wire::ERRORE) => Type::Anomaly,
            _ => data.map_or(Type::Ordinary, Type::Certified),
        }
    }

    /// The word of answers.
    pub fn word(self) -> &'static str {
        use CertificationKind::*;
        match self {
            Type::Certified(TransportEnvelope) => "transport-envelope",
            Type::Certified(Acceptance) => "acceptance-receipt",
            Type::Certified(NonAcceptance) => "non-acceptance-notice",
            Type::Certified(TakeCharge) => "take-charge-receipt",
            Type::Certified(Delivery) => "delivery-receipt",
            Type::Certified(NonDelivery) => "non-delivery-notice",
            Type::Certified(Timeout) => "timeout-notice",
            Type::Certified(VirusDetection) => "virus-detection-notice",
            Type::Anomaly => "anomaly-envelope",
            Type::Ordinary => "ordinary",
        }
    }

    /// For people, with the name that the Italian rules have for it.
    pub fn title(self) -> &'static str {
        use CertificationKind::*;
        match self {
            Type::Certified(TransportEnvelope) => "transport envelope (busta di trasporto)",
            Type::Certified(Acceptance) => "acceptance receipt (ricevuta di accettazione)",
            Type::Certified(NonAcceptance) => "non-acceptance notice (avviso di non accettazione)",
            Type::Certified(TakeCharge) => "take-charge receipt (ricevuta di presa in carico)",
            Type::Certified(Delivery) => "delivery receipt (ricevuta di avvenuta consegna)",
            Type::Certified(NonDelivery) => "non-delivery notice (avviso di mancata consegna)",
            Type::Certified(Timeout) => "timeout notice (avviso di mancata consegna per superamento dei tempi)",
            Type::Certified(VirusDetection) => "virus detection notice (avviso di rilevazione virus)",
            Type::Anomaly => "anomaly envelope (busta di anomalia): what is inside is not certified",
            Type::Ordinary => "ordinary mail: nothing in it says that it is certified",
        }
    }

    /// What its subject may begin with (PEC §3); a notice of a virus has its own.
    pub fn subject_prefixes(self) -> &'static [&'static str] {
        use CertificationKind::*;
        match self {
            Type::Certified(TransportEnvelope) => &[wire::SUBJECT_TRANSPORT],
            Type::Certified(Acceptance) => &[wire::SUBJECT_ACCEPTANCE],
            Type::Certified(NonAcceptance) => &[wire::SUBJECT_NON_ACCEPTANCE, "AVVISO DI NON ACCETTAZIONE PER VIRUS: "],
            Type::Certified(TakeCharge) => &[wire::SUBJECT_TAKE_CHARGE],
            Type::Certified(Delivery) => &[wire::SUBJECT_DELIVERY],
            Type::Certified(NonDelivery) => &[wire::SUBJECT_NON_DELIVERY, "AVVISO DI MANCATA CONSEGNA PER VIRUS: "],
            Type::Certified(Timeout) => {
                &[wire::SUBJECT_TIMEOUT, "AVVISO DI MANCATA CONSEGNA PER SUPERAMENTO TEMPO MASSIMO: "]
            }
            Type::Certified(VirusDetection) => &["PROBLEMA DI SICUREZZA: "],
            Type::Anomaly => &[wire::SUBJECT_ANOMALY],
            Type::Ordinary => &[],
        }
    }
}

/// A value of bounded length.
pub fn cut(mut text: String) -> String {
    if text.len() > VALUE_MAX {
        text.truncate(text.floor_char_boundary(VALUE_MAX));
        text.push('…');
    }
    text
}

/// One blank for each run of blanks: folding changes their number.
pub fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The text of an unfolded value with its encoded words. A charset other than UTF-8, US-ASCII and ISO-8859-1 stays
/// encoded: what cannot be told is shown as it is.
pub fn decoded(value: &str) -> String {
    let (mut out, mut rest, mut after_word) = (String::new(), value, false);
    while let Some(start) = rest.find("=?") {
        let (before, word) = rest.split_at(start);
        let Some((text, length)) = encoded_word(word) else {
            out.push_str(before);
            out.push_str("=?");
            (rest, after_word) = (&word[2..], false);
            continue;
        };
        // RFC 2047 §6.2: blanks between encoded words are not part of the text.
        if !after_word || !before.trim().is_empty() {
            out.push_str(before);
        }
        out.push_str(&text);
        (rest, after_word) = (&word[length..], true);
    }
    out.push_str(rest);
    out
}

fn encoded_word(text: &str) -> Option<(String, usize)> {
    let mut pieces = text.get(2..)?.splitn(3, '?');
    let (charset, encoding, rest) = (pieces.next()?, pieces.next()?, pieces.next()?);
    let content = &rest[..rest.find("?=")?];
    let bytes = match encoding {
        "B" | "b" => {
            let lenient = GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
            GeneralPurpose::new(&alphabet::STANDARD, lenient).decode(content).ok()?
        }
        "Q" | "q" => q_decoded(content.as_bytes())?,
        _ => return None,
    };
    let length = 2 + charset.len() + 1 + encoding.len() + 1 + content.len() + 2;
    // RFC 2231 §5: a language may follow.
    let charset = charset.split('*').next().unwrap_or_default().to_ascii_lowercase();
    let text = match charset.as_str() {
        "utf-8" | "us-ascii" => String::from_utf8(bytes).ok()?,
        "iso-8859-1" => bytes.into_iter().map(char::from).collect(),
        _ => return None,
    };
    Some((text, length))
}

/// The `Q` encoding; none where an escape is none.
fn q_decoded(content: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'_' => out.push(b' '),
            b'=' => {
                let mut digit = || (*rest.next()? as char).to_digit(16);
                let (high, low) = (digit()?, digit()?);
                out.push((high << 4 | low) as u8);
            }
            byte => out.push(*byte),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoded_words_are_text() {
        for (value, text) in [
            ("plain", "plain"),
            ("=?utf-8?Q?Perch=C3=A9_no=3F?=", "Perché no?"),
            ("=?UTF-8?B?UGVyY2jDqQ?= =?iso-8859-1*it?q?_=E8?= vero", "Perché è vero"),
            ("a =?x?Q?b?= c =?utf-8?Q?=Z?=", "a =?x?Q?b?= c =?utf-8?Q?=Z?="),
            ("=?", "=?"),
            ("=?utf-8?B?*?=", "=?utf-8?B?*?="),
        ] {
            assert_eq!(decoded(value), text);
        }
    }

    #[test]
    fn a_long_value_is_cut_between_letters() {
        let long = cut("è".repeat(VALUE_MAX));
        assert!(long.len() <= VALUE_MAX + '…'.len_utf8() && long.ends_with('…'));
    }
}
