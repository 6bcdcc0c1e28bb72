//! A message as one step sees it, and as the next one sees it after the edits.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use sigillo_mail::header::HeaderSection;
use sigillo_mail::structure::Structure;
use sigillo_mail::{Rope, Source};

use crate::limits;

/// Content with its structure: of exactly these bytes.
#[derive(Debug, Clone)]
pub struct MessageView {
    /// The bytes.
    pub rope: Rope,
    /// Their one parse.
    pub structure: Arc<Structure>,
}

/// Header sections above this size are parsed anew rather than patched: their limit may be passed by the new field.
const PATCHED_HEADER_MAX: usize = 512 * 1024;

impl MessageView {
    /// The message with the content replaced, and then with `fields` above all others, the last one on top.
    pub async fn edited(
        self: Arc<Self>,
        replacement: Option<Rope>,
        fields: &[Bytes],
        source: Arc<dyn Source>,
    ) -> Result<Arc<MessageView>, String> {
        if replacement.is_none() && fields.is_empty() {
            return Ok(self);
        }
        let replaced = replacement.is_some();
        let old = replacement.unwrap_or_else(|| self.rope.clone());
        let mut above = BytesMut::with_capacity(fields.iter().map(Bytes::len).sum());
        fields.iter().rev().for_each(|field| above.extend_from_slice(field));
        let above = above.freeze();
        let mut rope = Rope::from_bytes(above.clone());
        rope.append(&old);
        if !replaced && let Some(structure) = patched(&self.structure, &above) {
            return Ok(Arc::new(MessageView { rope, structure: Arc::new(structure) }));
        }
        Ok(Arc::new(parsed(rope, source).await?))
    }
}

pub(crate) async fn parsed(rope: Rope, source: Arc<dyn Source>) -> Result<MessageView, String> {
    let short = rope.len() <= limits::INLINE_WORK_MAX;
    let parse = move || {
        let structure = Structure::parse(&rope, &*source).map_err(|error| error.to_string())?;
        Ok(MessageView { rope, structure: Arc::new(structure) })
    };
    if short {
        return parse();
    }
    tokio::task::spawn_blocking(parse).await.map_err(|error| error.to_string())?
}

/// The structure with header fields above: the same tree, further down. None where the new fields could change how
/// the message reads, so that it must be parsed anew.
fn patched(old: &Structure, above: &Bytes) -> Option<Structure> {
    let header = old.header();
    let simple = !header.has_malformed_line() && header.as_bytes().len() + above.len() <= PATCHED_HEADER_MAX;
    let mut structure = simple.then(|| old.clone())?;
    let mut raw = BytesMut::with_capacity(above.len() + header.as_bytes().len());
    raw.extend_from_slice(above);
    raw.extend_from_slice(header.as_bytes());
    let header = HeaderSection::parse(raw.freeze());
    let of_structure = |name: &str| name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-"));
    let new = header.fields().take_while(|field| field.offset < above.len());
    if new.into_iter().any(|field| of_structure(field.name) || field.name.eq_ignore_ascii_case("mime-version")) {
        return None;
    }
    let further = above.len() as u64;
    for (index, part) in structure.parts.iter_mut().enumerate() {
        part.header_offset += if index == 0 { 0 } else { further };
        part.body_offset += further;
    }
    structure.parts.first_mut()?.header = header;
    structure.size += further;
    Some(structure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sigillo_mail::rope::NoSource;

    fn view(text: &str) -> Arc<MessageView> {
        let rope = Rope::from_bytes(text.to_owned());
        let structure = Arc::new(Structure::parse(&rope, &NoSource).unwrap());
        Arc::new(MessageView { rope, structure })
    }

    async fn check(text: &str, fields: &[&str], replacement: Option<&str>) {
        let fields: Vec<Bytes> = fields.iter().map(|field| Bytes::from(field.to_string())).collect();
        let replacement = replacement.map(|text| Rope::from_bytes(text.to_owned()));
        let after = view(text).edited(replacement, &fields, Arc::new(NoSource)).await.unwrap();
        let anew = Structure::parse(&after.rope, &NoSource).unwrap();
        assert_eq!(*after.structure, anew, "{text:?} with {fields:?}");
    }

    #[tokio::test]
    async fn the_last_field_stands_on_top_of_the_replaced_content() {
        let fields = [Bytes::from("A: 1\r\n"), Bytes::from("B: 2\r\n")];
        let new = Rope::from_bytes("C: 3\r\n\r\nnew\r\n");
        let after = view("D: 4\r\n\r\nold\r\n").edited(Some(new), &fields, Arc::new(NoSource)).await.unwrap();
        let bytes = after.rope.to_bytes(&NoSource).unwrap();
        assert_eq!(&bytes[..], b"B: 2\r\nA: 1\r\nC: 3\r\n\r\nnew\r\n");
    }

    #[tokio::test]
    async fn a_patched_structure_is_the_one_that_a_parse_finds() {
        let mixed = "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: \
                     message/rfc822\r\n\r\nSubject: in\r\n\r\ntwo\r\n--b--\r\n";
        for text in [
            mixed,
            "Subject: x\r\n\r\nhi\r\n",
            "\r\nno header\r\n",
            " folded first\r\n\r\nx\r\n",
            "odd line\r\nA: b\r\n\r\n",
            "A: b\r\n",
            "",
        ] {
            check(text, &["X-A: 1\r\n"], None).await;
            check(text, &["X-A: 1\r\n", "Content-Type: text/html\r\n"], None).await;
            check(text, &["MIME-Version: 1.0\r\n"], None).await;
            check(text, &[], Some(mixed)).await;
        }
    }

    proptest! {
        #[test]
        fn patching_equals_parsing(lines in prop::collection::vec("[A-Ca-c:; \t=-]{0,12}", 0..12)) {
            let text = lines.join("\r\n") + "\r\n";
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(check(&text, &["X-A: 1\r\n\tfolded\r\n"], None));
        }
    }
}
