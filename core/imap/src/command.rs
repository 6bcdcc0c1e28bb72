//! The commands, one file per family.

pub(crate) mod append;
pub(crate) mod authenticate;
pub(crate) mod capability;
pub(crate) mod copy;
pub(crate) mod expunge;
pub(crate) mod fetch;
pub(crate) mod folders;
pub(crate) mod list;
pub(crate) mod quota;
pub(crate) mod search;
pub(crate) mod select;
pub(crate) mod status;
pub(crate) mod store;

use imap_codec::imap_types::mailbox::Mailbox;

use crate::name;
use crate::refusal::Refusal;

/// The folder that a command names, checked.
fn folder_name(mailbox: &Mailbox<'_>) -> Result<String, Refusal> {
    match mailbox {
        Mailbox::Inbox => Ok(name::INBOX.to_owned()),
        Mailbox::Other(other) => {
            let decoded =
                name::decode(other.as_ref()).ok_or(Refusal::no("[CANNOT] not a folder name in modified UTF-7"))?;
            name::check(&decoded).map_err(|why| Refusal::no(format!("[CANNOT] {why}")))
        }
    }
}

/// A set of UIDs or numbers in its shortest form: `1:3,5`.
fn set_of(numbers: impl IntoIterator<Item = u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for n in numbers {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(n) => *last = n,
            _ => runs.push((n, n)),
        }
    }
    let words: Vec<String> =
        runs.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}:{b}") }).collect();
    words.join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn sets_are_written_in_their_shortest_form() {
        assert_eq!(super::set_of([1, 2, 3, 5, 7, 8]), "1:3,5,7:8");
        assert_eq!(super::set_of([]), "");
        assert_eq!(super::set_of([3, 2]), "3,2");
    }
}
