//! A message in a file, read by ranges: nothing here holds it in memory.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sigillo_mail::rope::Range;
use sigillo_mail::{Rope, Source};

/// Longest file that is read, octets. Ours: ten of the largest messages; base64 makes 137 of 100 MB.
const FILE_MAX: u64 = 1 << 30;
/// How the line begins that mailboxes of the kind mbox put above each message (RFC 4155).
const MBOX: &[u8] = b"From ";

/// An open message.
pub struct MessageFile {
    source: Arc<Bytes>,
    rope: Rope,
    facts: BTreeMap<String, String>,
}

/// The bytes: of the file itself, or of a copy with other line ends.
struct Bytes(File);

impl Source for Bytes {
    fn read_exact_at(&self, _: u64, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
}

/// What one pass over the file tells.
#[derive(Default)]
struct Survey {
    size: u64,
    crlf: u64,
    bare_lf: u64,
    /// Octets of the `From ` line, with its end.
    mbox: u64,
}

impl MessageFile {
    /// Opens a file; `-` is standard input. A file with bare LF line ends, as mail programs save them, is read through
    /// a copy with CRLF: those are the line ends over which signatures are made (RFC 8551 §3.1.1).
    pub fn open(path: &Path) -> io::Result<MessageFile> {
        let file = if path == Path::new("-") { spooled(io::stdin().lock())? } else { File::open(path)? };
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a file"));
        }
        let survey = survey(&file)?;
        if survey.size <= survey.mbox {
            return Err(io::Error::other("there is no message in it"));
        }
        let mut facts = BTreeMap::new();
        let word = match (survey.crlf, survey.bare_lf) {
            (_, 0) => "crlf",
            (0, _) => "lf",
            _ => "mixed",
        };
        facts.insert("line-ends".to_owned(), word.to_owned());
        if survey.mbox > 0 {
            facts.insert("mbox".to_owned(), "true".to_owned());
        }
        let (file, offset, size) = match survey.bare_lf {
            0 => (file, survey.mbox, survey.size),
            _ => {
                let copy = with_crlf(&file, survey.mbox)?;
                let size = copy.metadata()?.len();
                (copy, 0, size)
            }
        };
        let rope = Rope::from_range(Range { file: 0, offset, length: size - offset });
        Ok(MessageFile { source: Arc::new(Bytes(file)), rope, facts })
    }

    /// The message, with CRLF line ends.
    pub fn rope(&self) -> &Rope {
        &self.rope
    }

    /// Where its bytes are read.
    pub fn source(&self) -> Arc<dyn Source> {
        self.source.clone()
    }

    /// `line-ends` (`crlf`, `lf` or `mixed`), `mbox` (`true`).
    pub fn facts(&self) -> &BTreeMap<String, String> {
        &self.facts
    }
}

fn survey(mut file: &File) -> io::Result<Survey> {
    let mut survey = Survey::default();
    let mut reader = BufReader::with_capacity(64 * 1024, &mut file);
    let mut before = 0;
    let is_mbox = reader.fill_buf()?.starts_with(MBOX);
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        for (index, byte) in chunk.iter().enumerate() {
            if *byte == b'\n' {
                let at = survey.size + index as u64;
                if is_mbox && survey.mbox == 0 {
                    // Its line end is no line end of the message.
                    survey.mbox = at + 1;
                } else if before == b'\r' {
                    survey.crlf += 1;
                } else {
                    survey.bare_lf += 1;
                }
            }
            before = *byte;
        }
        let length = chunk.len();
        survey.size += length as u64;
        reader.consume(length);
        if survey.size > FILE_MAX {
            return Err(io::Error::other(format!("longer than {} MiB", FILE_MAX >> 20)));
        }
    }
    Ok(survey)
}

/// A copy from `offset` on in which each line ends with CRLF.
fn with_crlf(mut file: &File, offset: u64) -> io::Result<File> {
    file.seek(io::SeekFrom::Start(offset))?;
    let (mut reader, mut writer) = (BufReader::with_capacity(64 * 1024, file), BufWriter::new(unnamed()?));
    let mut before = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            break;
        }
        for byte in chunk {
            if *byte == b'\n' && before != b'\r' {
                writer.write_all(b"\r")?;
            }
            writer.write_all(&[*byte])?;
            before = *byte;
        }
        let length = chunk.len();
        reader.consume(length);
    }
    writer.into_inner().map_err(|error| error.into_error())
}

/// What can be read only once, where it can be read by ranges.
fn spooled(input: impl Read) -> io::Result<File> {
    let mut file = unnamed()?;
    io::copy(&mut input.take(FILE_MAX + 1), &mut file)?;
    file.rewind()?;
    Ok(file)
}

/// A temporary file that nobody else can open, gone when it is closed.
fn unnamed() -> io::Result<File> {
    let name = format!("sigillo-{}-{:016x}", std::process::id(), rand::random::<u64>());
    let path: PathBuf = std::env::temp_dir().join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn opened(bytes: &[u8]) -> (String, BTreeMap<String, String>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.eml");
        std::fs::write(&path, bytes).unwrap();
        let file = MessageFile::open(&path).unwrap();
        let content = file.rope().to_bytes(&*file.source()).unwrap();
        (String::from_utf8(content.to_vec()).unwrap(), file.facts().clone())
    }

    #[test]
    fn line_ends_are_told_and_made_those_of_mail() {
        for (given, wanted, word) in [
            ("A: b\r\n\r\nx\r\n", "A: b\r\n\r\nx\r\n", "crlf"),
            ("A: b\n\nx\n", "A: b\r\n\r\nx\r\n", "lf"),
            ("A: b\r\n\r\nx\ny", "A: b\r\n\r\nx\r\ny", "mixed"),
            ("A: b", "A: b", "crlf"),
        ] {
            let (content, facts) = opened(given.as_bytes());
            assert_eq!((content.as_str(), facts["line-ends"].as_str()), (wanted, word), "{given:?}");
        }
    }

    #[test]
    fn the_line_of_a_mailbox_file_is_no_part_of_the_message() {
        for given in
            ["From ada Thu Nov 26\nA: b\r\n\r\nx\r\n", "From - x\r\nA: b\r\n\r\nx\r\n", "From - x\nA: b\n\nx\n"]
        {
            let (content, facts) = opened(given.as_bytes());
            assert_eq!((content.as_str(), facts["mbox"].as_str()), ("A: b\r\n\r\nx\r\n", "true"), "{given:?}");
        }
        assert!(!opened(b"From: a@b\r\n\r\n").1.contains_key("mbox"));
    }

    #[test]
    fn nothing_is_no_message() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.eml");
        std::fs::write(&path, b"From x\n").unwrap();
        assert!(MessageFile::open(&path).is_err() && MessageFile::open(folder.path()).is_err());
    }
}
