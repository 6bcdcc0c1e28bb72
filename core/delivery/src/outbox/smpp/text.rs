//! The text of a short message as octets: in the alphabet of GSM where every letter has a place in it, else in UCS-2; cut
//! into parts where one message does not hold it (3GPP TS 23.038 §6.2.1, TS 23.040 §9.2.3.24.1).

/// The default alphabet, in the order of its codes; 0x1B leads to [`EXTENSION`].
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\u{1b}ÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿\
                     abcdefghijklmnopqrstuvwxyzäöñüà";
/// What stands behind the escape.
const EXTENSION: [(char, u8); 10] = [
    ('\u{c}', 0x0A),
    ('^', 0x14),
    ('{', 0x28),
    ('}', 0x29),
    ('\\', 0x2F),
    ('[', 0x3C),
    ('~', 0x3D),
    (']', 0x3E),
    ('|', 0x40),
    ('€', 0x65),
];
const ESCAPE: u8 = 0x1B;
/// Letters of one message: 140 octets of seven bits each, and what a header of six octets leaves of them.
const GSM_SINGLE: usize = 160;
const GSM_PART: usize = 153;
/// The same of sixteen bits, in octets.
const UCS2_SINGLE: usize = 140;
const UCS2_PART: usize = 134;
/// Parts of one text. Ours: nobody reads more on a telephone.
pub const PARTS_MAX: usize = 10;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alphabet {
    /// GSM's own where it has every letter, else UCS-2.
    Gsm,
    /// Always UCS-2, for message centres whose default alphabet is another.
    Ucs2,
}

/// A text as it is submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// Whether it is UCS-2.
    pub ucs2: bool,
    /// One for each message, without its header.
    pub parts: Vec<Vec<u8>>,
}

/// Octets of a text and its parts; the words say why there are none.
pub fn encode(text: &str, alphabet: Alphabet) -> Result<Encoded, String> {
    if text.is_empty() {
        return Err("'text' is empty".into());
    }
    let gsm = (alphabet == Alphabet::Gsm).then(|| text.chars().map(in_gsm).collect::<Option<Vec<_>>>()).flatten();
    let (ucs2, letters, single, part) = match gsm {
        Some(letters) => (false, letters, GSM_SINGLE, GSM_PART),
        None => (true, text.chars().map(in_ucs2).collect(), UCS2_SINGLE, UCS2_PART),
    };
    let parts = cut(&letters, single, part);
    if parts.len() > PARTS_MAX {
        return Err(format!("'text' needs {} messages, more than {PARTS_MAX}", parts.len()));
    }
    Ok(Encoded { ucs2, parts })
}

fn in_gsm(letter: char) -> Option<Vec<u8>> {
    if let Some((_, code)) = EXTENSION.iter().find(|(extended, _)| *extended == letter) {
        return Some(vec![ESCAPE, *code]);
    }
    let place = BASIC.chars().position(|basic| basic == letter && basic != '\u{1b}')?;
    u8::try_from(place).ok().map(|code| vec![code])
}

fn in_ucs2(letter: char) -> Vec<u8> {
    let mut units = [0; 2];
    letter.encode_utf16(&mut units).iter().flat_map(|unit| unit.to_be_bytes()).collect()
}

/// A letter that takes several octets stays whole.
fn cut(letters: &[Vec<u8>], single: usize, part: usize) -> Vec<Vec<u8>> {
    let all: usize = letters.iter().map(Vec::len).sum();
    let most = if all <= single { single } else { part };
    let mut parts = vec![Vec::new()];
    for letter in letters {
        match parts.last_mut() {
            Some(last) if last.len() + letter.len() <= most => last.extend_from_slice(letter),
            _ => parts.push(letter.clone()),
        }
    }
    parts
}

/// The header of one part of several: concatenated short messages, 8-bit reference number.
pub fn header(reference: u8, parts: usize, number: usize) -> [u8; 6] {
    [0x05, 0x00, 0x03, reference, parts as u8, number as u8]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (bool, Vec<usize>) {
        let encoded = encode(text, Alphabet::Gsm).unwrap();
        (encoded.ucs2, encoded.parts.iter().map(Vec::len).collect())
    }

    #[test]
    fn the_alphabet_has_each_letter_at_its_place() {
        assert_eq!(BASIC.chars().count(), 128);
        for (letter, code) in [
            ('@', 0),
            ('à', 0x7F),
            ('è', 4),
            ('ù', 6),
            ('ì', 7),
            ('ò', 8),
            ('é', 5),
            ('A', 0x41),
            ('§', 0x5F),
            (' ', 0x20),
            ('z', 0x7A),
        ] {
            assert_eq!(in_gsm(letter), Some(vec![code]), "{letter}");
        }
        assert_eq!(in_gsm('€'), Some(vec![0x1B, 0x65]));
        assert!(in_gsm('ç').is_none() && in_gsm('\u{1b}').is_none() && in_gsm('日').is_none());
    }

    #[test]
    fn long_texts_are_cut_and_no_letter_is_torn() {
        assert_eq!(parts(&"è".repeat(160)), (false, vec![160]));
        assert_eq!(parts(&"a".repeat(161)), (false, vec![153, 8]));
        // The escape and its letter would stand across the cut.
        assert_eq!(parts(&format!("{}€{}", "a".repeat(152), "b".repeat(20))), (false, vec![152, 22]));
        assert_eq!(parts(&"ç".repeat(70)), (true, vec![140]));
        assert_eq!(parts(&"ç".repeat(71)), (true, vec![134, 8]));
        // 66 letters and a pair of surrogates.
        assert_eq!(parts(&format!("{}😀{}", "ç".repeat(66), "ç".repeat(10))), (true, vec![132, 24]));
        assert!(encode(&"a".repeat(1531), Alphabet::Gsm).is_err() && encode("", Alphabet::Gsm).is_err());
        assert!(encode("a", Alphabet::Ucs2).unwrap().ucs2);
    }
}
