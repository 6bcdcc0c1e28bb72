//! `message`: reading the message in hand.

use std::io;
use std::sync::Arc;

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::quoted_printable::quoted_printable_decode;
use sigillo_mail::structure::Part as MailPart;
use sigillo_mail::{Rope, Source};
use wasmtime::component::Resource;

use super::{MessageHandle, Refusal, invalid, limit, off_thread};
use crate::decoded;
use crate::limits;
use crate::step::StepState;
use crate::view::MessageView;
use crate::world::mail::message::{Address, Host, HostMessage, Part};
use crate::world::mail::types::Error;

/// What one part of the tree costs a guest beside its strings, octets.
const PART_COST: u64 = 64;

type This = Resource<MessageHandle>;

impl Host for StepState {}

impl HostMessage for StepState {
    fn size(&mut self, this: This) -> wasmtime::Result<u64> {
        self.call()?;
        Ok(self.view(&this)?.rope.len())
    }

    fn header_size(&mut self, this: This) -> wasmtime::Result<u64> {
        self.call()?;
        Ok(self.view(&this)?.structure.root().body_offset)
    }

    fn header_count(&mut self, this: This, name: String) -> wasmtime::Result<u32> {
        self.call()?;
        Ok(self.view(&this)?.structure.header().count(&name) as u32)
    }

    fn header(&mut self, this: This, name: String, index: u32) -> wasmtime::Result<Option<Vec<u8>>> {
        self.call()?;
        let value = self.view(&this)?.structure.header().raw(&name, index as usize).map(<[u8]>::to_vec);
        self.given(value)
    }

    fn header_text(&mut self, this: This, name: String, index: u32) -> wasmtime::Result<Option<String>> {
        self.call()?;
        let text = self.view(&this)?.structure.header().text(&name, index as usize);
        self.given(text)
    }

    fn header_field(&mut self, this: This, name: String, index: u32) -> wasmtime::Result<Option<Vec<u8>>> {
        self.call()?;
        let view = self.view(&this)?;
        let mut named = view.structure.header().fields().filter(|field| field.name.eq_ignore_ascii_case(&name));
        let whole = named.nth(index as usize).map(|field| field.whole.to_vec());
        self.given(whole)
    }

    fn addresses(&mut self, this: This, name: String) -> Result<Vec<Address>, Refusal> {
        self.call()?;
        let found = self.view(&this)?.structure.header().addresses(&name);
        let found = found.map_err(|error| invalid(error.to_string()))?;
        let octets: usize = found.iter().map(|a| a.display_name.len() + a.mailbox.len()).sum();
        self.reads(octets as u64)?;
        Ok(found.into_iter().map(|a| Address { display_name: a.display_name, mailbox: a.mailbox }).collect())
    }

    fn header_names(&mut self, this: This) -> wasmtime::Result<Vec<String>> {
        self.call()?;
        let view = self.view(&this)?;
        let names: Vec<String> = view.structure.header().fields().map(|field| field.name.to_owned()).collect();
        self.reads(names.iter().map(|name| name.len() as u64).sum())?;
        Ok(names)
    }

    fn parts(&mut self, this: This) -> Result<Vec<Part>, Refusal> {
        self.call()?;
        let view = self.view(&this)?;
        self.reads(PART_COST * view.structure.parts.len() as u64)?;
        Ok(view.structure.parts.iter().map(part).collect())
    }

    fn part_parameter(&mut self, this: This, part: u32, name: String) -> wasmtime::Result<Option<String>> {
        self.call()?;
        let view = self.view(&this)?;
        let value = view.structure.parts.get(part as usize).and_then(|part| part.parameter(&name)).map(str::to_owned);
        self.given(value)
    }

    fn read(&mut self, this: This, offset: u64, max: u32) -> Result<Vec<u8>, Refusal> {
        self.call()?;
        let view = self.view(&this)?;
        let max = max.min(limits::READ_MAX).min(view.rope.len().saturating_sub(offset).min(u64::from(u32::MAX)) as u32);
        self.reads(u64::from(max))?;
        Ok(view.rope.read(&*self.source(), offset, max as usize)?.to_vec())
    }

    async fn read_decoded(&mut self, this: This, part: u32) -> Result<Vec<u8>, Refusal> {
        self.call()?;
        let view = self.view(&this)?;
        let part = view.structure.parts.get(part as usize).ok_or(Refusal::Told(Error::NotFound))?;
        if part.body_length > limits::ENCODED_MAX {
            return Err(limit(format!("a decoded body has at most {} octets", limits::DECODED_MAX)));
        }
        self.reads(part.body_length)?;
        let body = view.rope.slice(part.body_offset, part.body_length);
        let (source, encoding) = (self.source(), part.transfer_encoding.clone());
        off_thread(part.body_length, move || decode(&body, &*source, &encoding)).await?
    }

    async fn sha256(&mut self, this: This, offset: u64, length: u64) -> Result<Vec<u8>, Refusal> {
        self.call()?;
        let (range, source) = (self.range(&this, offset, length)?, self.source());
        let digest = off_thread(length, move || range.sha256(&*source)).await??;
        Ok(digest.to_vec())
    }

    async fn decoded_sha256(&mut self, this: This, part: u32) -> Result<(u64, Vec<u8>), Refusal> {
        self.call()?;
        let view = self.view(&this)?;
        let part = view.structure.parts.get(part as usize).ok_or(Refusal::Told(Error::NotFound))?;
        self.reads(part.body_length)?;
        let body = view.rope.slice(part.body_offset, part.body_length);
        let (source, encoding) = (self.source(), part.transfer_encoding.clone());
        let work = move || decoded::sha256(&body, &*source, &encoding);
        let (octets, digest) = off_thread(part.body_length, work).await??.map_err(invalid)?;
        Ok((octets, digest.to_vec()))
    }

    async fn find(&mut self, this: This, needle: Vec<u8>, offset: u64, length: u64) -> Result<Option<u64>, Refusal> {
        self.call()?;
        if needle.is_empty() || needle.len() > limits::NEEDLE_MAX {
            return Err(invalid(format!("a needle has 1 to {} octets", limits::NEEDLE_MAX)));
        }
        let (range, source) = (self.range(&this, offset, length)?, self.source());
        let found = off_thread(length, move || find(&range, &*source, &needle)).await??;
        Ok(found.map(|at| offset + at))
    }

    fn property(&mut self, this: This, name: String) -> wasmtime::Result<Option<String>> {
        self.call()?;
        let view = self.view(&this)?;
        Ok(match name.as_str() {
            "header.malformed" => Some(view.structure.header().has_malformed_line().to_string()),
            "structure.ambiguous" => Some(view.structure.is_ambiguous().to_string()),
            _ => None,
        })
    }

    fn drop(&mut self, this: This) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl StepState {
    pub(super) fn view(&self, this: &This) -> wasmtime::Result<Arc<MessageView>> {
        Ok(self.table.get(this)?.0.clone())
    }

    /// A range that lies in the message, counted as read.
    fn range(&mut self, this: &This, offset: u64, length: u64) -> Result<Rope, Refusal> {
        let view = self.view(this)?;
        within(offset, length, view.rope.len())?;
        self.reads(length)?;
        Ok(view.rope.slice(offset, length))
    }

    fn given<T: AsRef<[u8]>>(&mut self, value: Option<T>) -> wasmtime::Result<Option<T>> {
        self.reads(value.as_ref().map_or(0, |value| value.as_ref().len() as u64))?;
        Ok(value)
    }
}

/// A range that goes over the end is a mistake of the guest's, and silence about it would be ours.
pub(super) fn within(offset: u64, length: u64, size: u64) -> Result<(), Refusal> {
    match offset.checked_add(length) {
        Some(end) if end <= size => Ok(()),
        _ => Err(invalid(format!("{length} octets from {offset} go over the end at {size}"))),
    }
}

fn part(part: &MailPart) -> Part {
    Part {
        parent: part.parent.map(|parent| parent as u32),
        media_type: part.media_type(),
        transfer_encoding: part.transfer_encoding.clone(),
        filename: part.filename(),
        header_offset: part.header_offset,
        body_offset: part.body_offset,
        body_length: part.body_length,
        ambiguous: part.ambiguous,
    }
}

fn decode(body: &Rope, source: &dyn Source, encoding: &str) -> Result<Vec<u8>, Refusal> {
    let raw = body.to_bytes(source)?;
    let bytes = match encoding {
        "base64" => base64_decode(&raw).ok_or_else(|| invalid("the body is not base64"))?,
        "quoted-printable" => {
            quoted_printable_decode(&raw).ok_or_else(|| invalid("the body is not quoted-printable"))?
        }
        "7bit" | "8bit" | "binary" => raw.to_vec(),
        other => return Err(invalid(format!("the transfer encoding '{other}' is not known"))),
    };
    if bytes.len() > limits::DECODED_MAX {
        return Err(limit(format!("a decoded body has at most {} octets", limits::DECODED_MAX)));
    }
    Ok(bytes)
}

fn find(range: &Rope, source: &dyn Source, needle: &[u8]) -> io::Result<Option<u64>> {
    let finder = memchr::memmem::Finder::new(needle);
    let (mut window, mut before) = (Vec::new(), 0_u64);
    for chunk in range.chunks(source) {
        window.extend_from_slice(&chunk?);
        if let Some(at) = finder.find(&window) {
            return Ok(Some(before + at as u64));
        }
        // A needle may begin in this chunk and end in the next one.
        let done = window.len().saturating_sub(needle.len() - 1);
        window.drain(..done);
        before += done as u64;
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigillo_mail::rope::NoSource;

    #[test]
    fn a_needle_across_pieces_is_found_where_it_first_occurs() {
        let mut rope = Rope::new();
        for piece in ["abc--bou", "ndary", "--boundary"] {
            rope.push_bytes(piece);
        }
        assert_eq!(find(&rope, &NoSource, b"--boundary").unwrap(), Some(3));
        assert_eq!(find(&rope, &NoSource, b"y--").unwrap(), Some(12));
        assert_eq!(find(&rope, &NoSource, b"nowhere").unwrap(), None);
        assert_eq!(find(&Rope::new(), &NoSource, b"x").unwrap(), None);
    }

    #[test]
    fn a_range_over_the_end_is_refused_even_where_the_sum_overflows() {
        assert!(within(2, 3, 5).is_ok());
        assert!(within(2, 4, 5).is_err());
        assert!(within(u64::MAX, 2, 5).is_err());
    }

    #[test]
    fn bodies_are_decoded_by_their_encoding() {
        let body = |text: &str| Rope::from_bytes(text.to_owned());
        assert_eq!(decode(&body("Y2lhbw==\r\n"), &NoSource, "base64").unwrap(), b"ciao");
        assert_eq!(
            decode(&body("perch=C3=A9=\r\n no"), &NoSource, "quoted-printable").unwrap(),
            "perché no".as_bytes()
        );
        assert_eq!(decode(&body("ciao"), &NoSource, "7bit").unwrap(), b"ciao");
        assert!(matches!(decode(&body("ciao"), &NoSource, "x-uuencode"), Err(Refusal::Told(Error::Invalid(_)))));
    }
}
