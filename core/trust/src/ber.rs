//! From BER to DER (X.690): RFC 5652 §5 lets SignedData be BER, and providers send indefinite lengths and strings
//! in pieces.
//!
//! Only what is written so is rewritten. Everything else, certificates and signed attributes above all, is copied
//! octet for octet: their own signatures are over these octets. (OpenSSL's decoder and encoder keep names as they
//! came, so that its output is not always DER.)

/// Deepest nesting; genuine signatures have about 15 levels.
const DEPTH_MAX: usize = 40;
/// Most elements taken apart: a string of 128 MiB in pieces of 1 KiB has an eighth of it. Each costs some hundred
/// octets of memory, and an attacker's pieces may be of one octet.
const ELEMENTS_MAX: usize = 1 << 20;
/// Tag bit of constructed encodings (X.690 §8.1.2.5).
const CONSTRUCTED: u8 = 0x20;
const OCTET_STRING: u8 = 0x04;

/// One element of BER, taken apart.
struct Element<'a> {
    tag: u8,
    /// Header and content (and the end-of-contents, if the length is indefinite).
    whole: &'a [u8],
    /// The content rewritten, where anything in it or its length had to be.
    rewritten: Option<Vec<u8>>,
    /// The content as it came.
    content: &'a [u8],
}

/// The first element of `octets` with definite lengths, and nothing after it; none if that is not BER.
pub(crate) fn to_der(octets: &[u8]) -> Option<Vec<u8>> {
    let element = element(octets, 0, &mut ELEMENTS_MAX.clone())?;
    let mut out = Vec::with_capacity(octets.len());
    element.append_to(&mut out);
    Some(out)
}

fn element<'a>(octets: &'a [u8], depth: usize, left: &mut usize) -> Option<Element<'a>> {
    *left = left.checked_sub(1)?;
    let [tag, first, rest @ ..] = octets else { return None };
    // CMS has no tag numbers above 30, which would take more octets (X.690 §8.1.2.4).
    if depth > DEPTH_MAX || tag & 0x1f == 0x1f {
        return None;
    }
    if *first == 0x80 {
        return indefinite(octets, *tag, depth, left);
    }
    let (length, header) = if *first < 0x80 {
        (usize::from(*first), 2)
    } else {
        let count = usize::from(first & 0x7f);
        if count > 8 {
            return None;
        }
        let length =
            rest.get(..count)?.iter().try_fold(0usize, |n, b| n.checked_mul(256)?.checked_add(usize::from(*b)))?;
        (length, 2 + count)
    };
    let end = header.checked_add(length)?;
    let (whole, content) = (octets.get(..end)?, octets.get(header..end)?);
    let rewritten = if tag & CONSTRUCTED == 0 { None } else { rewrite(*tag, children(content, depth + 1, left)?) };
    Some(Element { tag: *tag, whole, rewritten, content })
}

/// X.690 §8.1.3.6: elements up to an end-of-contents, two zero octets.
fn indefinite<'a>(octets: &'a [u8], tag: u8, depth: usize, left: &mut usize) -> Option<Element<'a>> {
    if tag & CONSTRUCTED == 0 {
        return None;
    }
    let (mut at, mut elements) = (2, Vec::new());
    while octets.get(at..at + 2)? != [0, 0] {
        let child = element(&octets[at..], depth + 1, left)?;
        at += child.whole.len();
        elements.push(child);
    }
    let rewritten = rewrite(tag, elements.as_slice()).or_else(|| Some(octets[2..at].to_vec()));
    Some(Element { tag, whole: &octets[..at + 2], rewritten, content: &octets[2..at] })
}

fn children<'a>(content: &'a [u8], depth: usize, left: &mut usize) -> Option<Vec<Element<'a>>> {
    let (mut at, mut elements) = (0, Vec::new());
    while at < content.len() {
        let child = element(&content[at..], depth, left)?;
        at += child.whole.len();
        elements.push(child);
    }
    Some(elements)
}

/// The content of a constructed element in DER, if that is not what it came as.
fn rewrite<'a>(tag: u8, children: impl AsRef<[Element<'a>]>) -> Option<Vec<u8>> {
    let children = children.as_ref();
    let mut out = Vec::new();
    if tag == OCTET_STRING | CONSTRUCTED {
        // X.690 §8.7.3: a string in pieces is their contents one after the other.
        children.iter().for_each(|piece| out.extend_from_slice(piece.rewritten.as_deref().unwrap_or(piece.content)));
        return Some(out);
    }
    if children.iter().all(|child| child.rewritten.is_none()) {
        return None;
    }
    children.iter().for_each(|child| child.append_to(&mut out));
    Some(out)
}

impl Element<'_> {
    fn append_to(&self, out: &mut Vec<u8>) {
        let Some(content) = &self.rewritten else { return out.extend_from_slice(self.whole) };
        // A string that came in pieces is primitive in DER (X.690 §10.2).
        out.push(if self.tag == OCTET_STRING | CONSTRUCTED { OCTET_STRING } else { self.tag });
        let length = content.len().to_be_bytes();
        let zeros = length.iter().take_while(|b| **b == 0).count();
        match content.len() {
            short @ 0..0x80 => out.push(short as u8),
            _ => {
                out.push(0x80 | (length.len() - zeros) as u8);
                out.extend_from_slice(&length[zeros..]);
            }
        }
        out.extend_from_slice(content);
    }
}

#[cfg(test)]
mod tests {
    use super::{ELEMENTS_MAX, to_der};
    use proptest::prelude::*;

    #[test]
    fn indefinite_lengths_and_strings_in_pieces() {
        let ber = [0x30, 0x80, 2, 1, 5, 0x24, 0x80, 4, 1, b'a', 0x24, 3, 4, 1, b'b', 0, 0, 0, 0];
        assert_eq!(to_der(&ber).unwrap(), [0x30, 7, 2, 1, 5, 4, 2, b'a', b'b']);
        let long = [&[0x24, 0x80, 4, 0x82, 1, 0][..], &[7; 256], &[0, 0]].concat();
        assert_eq!(to_der(&long).unwrap(), [&[4, 0x82, 1, 0][..], &[7; 256]].concat());
        assert_eq!(to_der(&[0x30, 0x80, 0x30, 0x80, 0, 0, 0, 0]).unwrap(), [0x30, 2, 0x30, 0]);
    }

    #[test]
    fn what_is_definite_is_copied_even_if_it_is_not_minimal() {
        let ber = [0x30, 0x80, 0x30, 0x81, 3, 2, 1, 5, 0, 0];
        assert_eq!(to_der(&ber).unwrap(), [0x30, 6, 0x30, 0x81, 3, 2, 1, 5]);
    }

    #[test]
    fn what_is_not_ber() {
        for octets in [&[][..], &[0x30], &[0x30, 0x80], &[0x30, 3, 1], &[2, 0x80, 0, 0], &[0x3f, 0x81, 1, 0]] {
            assert_eq!(to_der(octets), None, "{octets:?}");
        }
        assert_eq!(to_der(&[0x30, 0x88, 255, 255, 255, 255, 255, 255, 255, 255]), None);
        assert_eq!(to_der(&[0x30, 0x80].repeat(100_000)), None);
        let pieces = [&[0x24, 0x80][..], &[4, 0].repeat(ELEMENTS_MAX), &[0, 0]].concat();
        assert_eq!(to_der(&pieces), None, "more pieces than are taken apart");
    }

    proptest! {
        #[test]
        fn no_octets_make_it_panic_and_a_second_pass_changes_nothing(
            octets in proptest::collection::vec(prop_oneof![Just(0x30u8), Just(0x24), Just(0x80), Just(0), any::<u8>()], 0..60)
        ) {
            if let Some(der) = to_der(&octets) {
                prop_assert_eq!(to_der(&der), Some(der));
            }
        }
    }
}
