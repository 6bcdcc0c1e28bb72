//! Maildir++ as Courier and Dovecot write it (MIG-03): what is in it, read only, whatever lies there.
//!
//! The folder itself is the INBOX; `.A.B` is the folder `A/B`. Messages are in `cur` and `new`; behind `:2,` in their names
//! stand the flags, where letters from `a` on are the keywords that `dovecot-keywords` names. Names of folders are in
//! modified UTF-7 (RFC 3501 §5.1.3) or UTF-8; `\2e` is a dot that separates nothing (Dovecot's listescape). Lines end with
//! LF there and with CRLF in mail; a reader by IMAP has always seen them so ([`LineEnds`]).
//!
//! Links are not followed: the Maildir is a stranger's, and whoever reads it may read more than he.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use sigillo_mail::Mailbox;
use sigillo_store::Millis;
use sigillo_store::folders::{FLAG_LENGTH_MAX, is_folder_name};

use crate::error::Error;

/// Keywords that a name can hold: the letters.
const KEYWORDS_MAX: usize = 26;
/// Octets of a line of Dovecot's own files that is read.
const LINE_MAX: u64 = 4096;
/// Octets of a message's name that is taken. File systems have 255.
const NAME_MAX: usize = 255;

/// Something that is not brought, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where it lies.
    pub path: String,
    /// Why.
    pub problem: String,
}

fn problem(path: &Path, problem: impl Into<String>) -> Problem {
    Problem { path: path.display().to_string(), problem: problem.into() }
}

/// A folder of a Maildir.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaildirFolder {
    /// Where it lies.
    pub path: PathBuf,
    /// Its name here: UTF-8 with `/` between the levels.
    pub name: String,
}

/// A message of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Where it lies.
    pub path: PathBuf,
    /// Its unique name: that of the file without flags.
    pub name: String,
    /// Flags as IMAP has them.
    pub flags: Vec<String>,
    /// When it came: the time of the file, as Dovecot and Courier take it.
    pub internal_date: Millis,
    /// Octets of the file.
    pub size: u64,
}

/// Whether a Maildir is that of a mailbox of the same name (MIG-02): it is called like the address or its local part, or
/// it is a `Maildir` in a folder that is.
pub fn has_name_of(root: &Path, address: &Mailbox) -> bool {
    let names = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let mut names = names.components().rev().filter_map(|part| part.as_os_str().to_str());
    let mut named =
        |name: &str| name.eq_ignore_ascii_case(&address.key()) || name.eq_ignore_ascii_case(address.local_part());
    match names.next() {
        Some(name) if named(name) => true,
        Some(name) if name.eq_ignore_ascii_case("maildir") => names.next().is_some_and(&mut named),
        _ => false,
    }
}

fn is_real_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// The folders of a Maildir, the INBOX first.
pub fn folders(root: &Path) -> Result<(Vec<MaildirFolder>, Vec<Problem>), Error> {
    let shown = root.display().to_string();
    let unreadable =
        |error: std::io::Error| Error::invalid(&shown, error.to_string(), "name a Maildir that can be read");
    if !is_real_folder(&root.join("cur")) && !is_real_folder(&root.join("new")) {
        return Err(Error::invalid(
            shown,
            "it has neither 'cur' nor 'new'",
            "name the Maildir itself (MIG-03: Maildir++)",
        ));
    }
    let mut found = vec![MaildirFolder { path: root.to_owned(), name: "INBOX".into() }];
    let mut problems = Vec::new();
    let mut paths = fs::read_dir(root)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .map_err(unreadable)?;
    paths.sort();
    for path in paths {
        let Some(raw) = path.file_name().map(|name| name.as_encoded_bytes().to_vec()) else { continue };
        if raw.first() != Some(&b'.') || !path.is_dir() {
            continue;
        }
        if !is_real_folder(&path) {
            problems.push(problem(&path, "it is a link, which is not followed"));
        } else if !is_real_folder(&path.join("cur")) && !is_real_folder(&path.join("new")) {
            problems.push(problem(&path, "it has neither 'cur' nor 'new', so it is no folder of a Maildir"));
        } else {
            match folder_name(&raw[1..]) {
                Ok(name) => found.push(MaildirFolder { path, name }),
                Err(why) => problems.push(problem(&path, why)),
            }
        }
    }
    Ok((found, problems))
}

/// The name here of a folder that is called so there, without its first dot.
pub fn folder_name(raw: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(raw).map_err(|_| "its name is neither modified UTF-7 nor UTF-8".to_owned())?;
    // What no encoder of modified UTF-7 makes, such as a lone '&', is a name in UTF-8.
    let name = sigillo_imap::name::decode(raw).unwrap_or_else(|| text.to_owned());
    let levels: Vec<String> = name.split('.').map(unescape).collect();
    if levels.iter().any(|level| level.contains('/')) {
        return Err(format!("a level of its name '{name}' has a '/', which separates levels here; rename it there"));
    }
    let name = levels.join("/");
    if !is_folder_name(&name) {
        return Err(format!("'{name}' cannot be the name of a folder here; rename it there"));
    }
    Ok(if name.eq_ignore_ascii_case("INBOX") { "INBOX".into() } else { name })
}

/// Dovecot's listescape: a backslash and two hexadecimal digits.
fn unescape(level: &str) -> String {
    let mut out = String::with_capacity(level.len());
    let mut rest = level;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match code.filter(|code| (b' '..=b'~').contains(code)) {
            Some(code) => {
                out.push(char::from(code));
                rest = &rest[at + 3..];
            }
            None => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out + rest
}

/// The messages of a folder in the order in which its users know them: that of Dovecot's UIDs, else that of their names.
pub fn messages(folder: &MaildirFolder) -> Result<(Vec<Mail>, Vec<Problem>), Error> {
    let keywords = keywords(&folder.path);
    let uids = uids(&folder.path);
    let mut mails: Vec<(u64, u64, Mail)> = Vec::new();
    let mut problems = Vec::new();
    for part in ["new", "cur"] {
        let path = folder.path.join(part);
        if !is_real_folder(&path) {
            continue;
        }
        let unreadable = |error: std::io::Error| {
            Error::invalid(path.display().to_string(), error.to_string(), "see to it that it can be read")
        };
        for entry in fs::read_dir(&path).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            match mail(&path, part == "cur", &keywords) {
                Ok(None) => {}
                Ok(Some(mail)) => {
                    let uid = uids.get(&mail.name).copied().unwrap_or(u64::MAX);
                    let delivered = mail.name.split('.').next().and_then(|time| time.parse().ok()).unwrap_or(u64::MAX);
                    mails.push((uid, delivered, mail));
                }
                Err(why) => problems.push(problem(&path, why)),
            }
        }
    }
    mails.sort_by(|a, b| (a.0, a.1, &a.2.name).cmp(&(b.0, b.1, &b.2.name)));
    // A program that moves a message from `new` to `cur` may show it in both for an instant.
    mails.dedup_by(|b, a| a.2.name == b.2.name);
    Ok((mails.into_iter().map(|(_, _, mail)| mail).collect(), problems))
}

fn mail(path: &Path, seen_by_somebody: bool, keywords: &HashMap<u8, String>) -> Result<Option<Mail>, String> {
    let raw = path.file_name().and_then(|name| name.to_str()).ok_or("its name is not UTF-8")?;
    if raw.starts_with('.') {
        return Ok(None);
    }
    let metadata = fs::symlink_metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is not a plain file; links are not followed".into());
    }
    if metadata.size() == 0 {
        return Err("it is empty".into());
    }
    let (name, info) = raw.split_once(":2,").unwrap_or((raw, ""));
    let name = name.split(':').next().unwrap_or(name);
    if name.is_empty() || name.len() > NAME_MAX {
        return Err("its name has no part of its own".into());
    }
    // The letters end at a comma: what follows is other software's own.
    let letters = info.split(',').next().unwrap_or_default();
    let flags = if seen_by_somebody {
        letters.bytes().filter_map(|letter| flag(letter, keywords)).collect()
    } else {
        Vec::new()
    };
    let milliseconds = i128::from(metadata.mtime()) * 1000 + i128::from(metadata.mtime_nsec()) / 1_000_000;
    Ok(Some(Mail {
        path: path.to_owned(),
        name: name.to_owned(),
        flags,
        internal_date: milliseconds.clamp(0, i128::from(i64::MAX)) as Millis,
        size: metadata.size(),
    }))
}

fn flag(letter: u8, keywords: &HashMap<u8, String>) -> Option<String> {
    Some(match letter {
        b'D' => "\\Draft".into(),
        b'F' => "\\Flagged".into(),
        b'P' => "$Forwarded".into(),
        b'R' => "\\Answered".into(),
        b'S' => "\\Seen".into(),
        b'T' => "\\Deleted".into(),
        _ => keywords.get(&letter)?.clone(),
    })
}

/// The lines of a small text file of Dovecot's; none if it is not there.
fn lines(path: &Path) -> impl Iterator<Item = String> {
    let reader = open(path).ok().map(BufReader::new);
    reader.into_iter().flat_map(|mut reader| {
        std::iter::from_fn(move || {
            let mut line = Vec::new();
            let read = Read::take(&mut reader, LINE_MAX).read_until(b'\n', &mut line).ok()?;
            (read > 0).then(|| String::from_utf8_lossy(&line).trim_end().to_owned())
        })
    })
}

/// By letter. What cannot be a keyword of IMAP (RFC 3501 §9, `flag-keyword`) is left out.
fn keywords(folder: &Path) -> HashMap<u8, String> {
    let good = |word: &str| {
        (1..=FLAG_LENGTH_MAX).contains(&word.len())
            && !word.starts_with('\\')
            && word.bytes().all(|b| b.is_ascii_graphic() && !b"(){%*\"]\\".contains(&b))
    };
    lines(&folder.join("dovecot-keywords"))
        .filter_map(|line| {
            let (number, word) = line.split_once(' ')?;
            let number: usize = number.parse().ok()?;
            (number < KEYWORDS_MAX && good(word)).then(|| (b'a' + number as u8, word.to_owned()))
        })
        .collect()
}

/// UIDs by unique name, of Dovecot's `dovecot-uidlist`: `UID fields :name`.
fn uids(folder: &Path) -> HashMap<String, u64> {
    lines(&folder.join("dovecot-uidlist"))
        .skip(1)
        .filter_map(|line| {
            let (fields, name) = line.split_once(" :")?;
            let name = name.split(":2,").next().unwrap_or(name);
            Some((name.to_owned(), fields.split(' ').next()?.parse().ok()?))
        })
        .collect()
}

/// Opens a file for reading, never through a link in the last place of its path, and never waiting for a pipe.
pub fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

/// Makes every line end with CRLF: what a Maildir has as LF (RFC 5322 §2.3 wants CRLF). A CRLF stays, a bare CR too.
#[derive(Debug, Default)]
pub struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    /// The next piece as it is in mail.
    pub fn mend(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(piece.len() + piece.len() / 32);
        for &byte in piece {
            if byte == b'\n' && !self.after_cr {
                out.push(b'\r');
            }
            out.push(byte);
            self.after_cr = byte == b'\r';
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn mig_03_names_of_folders() {
        for (there, here) in [
            (&b"Sent"[..], "Sent"),
            (b"Archivio.2024.Fatture", "Archivio/2024/Fatture"),
            (b"Posta &AOg- &- altro", "Posta è & altro"),
            ("Città.Però".as_bytes(), "Città/Però"),
            (b"R&D", "R&D"),
            (b"pec\\2ealfa\\2eexample", "pec.alfa.example"),
            (b"a\\zz", "a\\zz"),
            (b"inbox", "INBOX"),
            (b"INBOX.Sent", "INBOX/Sent"),
        ] {
            assert_eq!(folder_name(there).as_deref(), Ok(here));
        }
        for bad in [&b"a..b"[..], b"", b"a\xff", b"a\\2fb", b"50%", b"a."] {
            assert!(folder_name(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn mig_02_the_name_of_the_mailbox() {
        let ada: Mailbox = "Ada@pec.alfa.example".parse().unwrap();
        for (path, same) in [
            ("/srv/ada@pec.alfa.example", true),
            ("/srv/ADA/Maildir", true),
            ("/srv/ada", true),
            ("/srv/eva", false),
            ("/srv/ada/other", false),
            ("/srv/ada@pec.beta.example", false),
        ] {
            assert_eq!(has_name_of(Path::new(path), &ada), same, "{path}");
        }
    }

    fn put(path: PathBuf, content: &[u8]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    #[test]
    fn mig_03_flags_keywords_and_order() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root.join("cur/1700000002.M1P1.host,S=3:2,FSab"), b"x\n\n");
        put(root.join("cur/1700000001.M1P1.host:2,DPRT"), b"x\n\n");
        put(root.join("new/1700000003.M1P1.host"), b"x\n\n");
        put(root.join("new/1700000003.M1P1.host:2,S"), b"x\n\n");
        put(root.join("cur/1700000000.M1P1.host:2,"), b"");
        put(root.join("tmp/1700000004.M1P1.host"), b"half");
        put(root.join("dovecot-keywords"), b"0 Lavoro\n1 bad\"word\n27 late\n");
        put(root.join("dovecot-uidlist"), b"3 V1 N9 Gx\n7 :1700000002.M1P1.host,S=3\n8 W5 :1700000001.M1P1.host:2,S\n");
        std::os::unix::fs::symlink("/etc/hostname", root.join("cur/1700000009.link:2,")).unwrap();
        let inbox = MaildirFolder { path: root.to_owned(), name: "INBOX".into() };
        let (mails, problems) = messages(&inbox).unwrap();
        let found: Vec<(&str, String)> = mails.iter().map(|m| (m.name.as_str(), m.flags.join(" "))).collect();
        assert_eq!(
            found,
            [
                ("1700000002.M1P1.host,S=3", "\\Flagged \\Seen Lavoro".to_owned()),
                ("1700000001.M1P1.host", "\\Draft $Forwarded \\Answered \\Deleted".to_owned()),
                ("1700000003.M1P1.host", String::new()),
            ]
        );
        let mut why: Vec<&str> = problems.iter().map(|problem| problem.problem.as_str()).collect();
        why.sort_unstable();
        assert_eq!(why, ["it is empty", "it is not a plain file; links are not followed"]);
    }

    #[test]
    fn mig_03_folders_and_what_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        put(root.join("cur/1.a:2,"), b"x");
        put(root.join(".Sent/cur/1.a:2,"), b"x");
        put(root.join(".A.B/new/1.a"), b"x");
        put(root.join(".empty/maildirfolder"), b"");
        put(root.join("courierimapkeywords/x"), b"");
        std::os::unix::fs::symlink(root.join(".Sent"), root.join(".Link")).unwrap();
        let (found, problems) = folders(root).unwrap();
        assert_eq!(found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["INBOX", "A/B", "Sent"]);
        assert_eq!(problems.len(), 2, "{problems:?}");
        assert!(folders(&root.join(".empty")).unwrap_err().to_string().contains("neither 'cur' nor 'new'"));
    }

    proptest! {
        /// The bytes are intact but for line ends, wherever the pieces are cut.
        #[test]
        fn mig_01_line_ends_only(lines in proptest::collection::vec("[a-z\r]{0,6}", 0..12), cut in 1usize..9) {
            let text = lines.join("\n");
            let mut ends = LineEnds::default();
            let whole: Vec<u8> = text.as_bytes().chunks(cut).flat_map(|piece| ends.mend(piece)).collect();
            prop_assert_eq!(&whole, &LineEnds::default().mend(text.as_bytes()));
            prop_assert_eq!(String::from_utf8(whole.clone()).unwrap().replace("\r\n", "\n"), text.replace("\r\n", "\n"));
            prop_assert_eq!(LineEnds::default().mend(&whole), whole);
        }
    }
}
