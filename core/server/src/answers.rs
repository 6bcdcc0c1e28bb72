//! What a submission means for the mailbox that it comes from: the message that it answers or passes on has its sender in
//! charge (BOX-09), its history tells of it (BOX-11), and the day's sends are counted (BOX-14).

use sigillo_mail::structure::Structure;
use sigillo_store::charges::Action;
use sigillo_store::{Kind, StoreError, Tx};

use crate::origin::{Letter, Origin, Way};

/// Message-IDs that are looked at, at most: the one answered comes first, and a thread can be long.
const NAMES_MAX: usize = 20;

/// The messages that a submission names as those that it answers, or passes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    answered: Vec<String>,
    forwarded: Vec<String>,
}

impl Answers {
    /// Of a submission; none for anything else.
    pub fn of(letter: &Letter, structure: &Structure) -> Option<Answers> {
        if letter.origin.way != Way::Submission || letter.origin.identity.is_none() {
            return None;
        }
        let names = |field: &str| -> Vec<String> {
            let text = structure.header().text(field, 0).unwrap_or_default();
            message_ids(&text)
        };
        // RFC 5322 §3.6.4: the last of References is the parent, where In-Reply-To is missing.
        let mut references = names("references");
        references.reverse();
        let mut answered = names("in-reply-to");
        answered.extend(references);
        answered.truncate(NAMES_MAX);
        // What Thunderbird and others write into what they forward.
        let mut forwarded = names("x-forwarded-message-id");
        forwarded.truncate(NAMES_MAX);
        Some(Answers { answered, forwarded })
    }

    /// Within the commit that takes the submission. [`StoreError::InUse`] where another user has the message in charge,
    /// [`StoreError::Limit`] where the mailbox has sent enough for today.
    pub fn conclude(&self, tx: &mut Tx<'_>, letter: &Letter) -> Result<(), StoreError> {
        let Some(account) = &letter.origin.identity else { return Ok(()) };
        let Some(found) = tx.reader().account(account)? else { return Ok(()) };
        tx.count_sends(account, letter.recipients.len() as u64)?;
        if found.kind != Kind::MultiUser {
            return Ok(());
        }
        let login = letter.origin.properties.get(Origin::USER).map_or(account.as_str(), String::as_str);
        let Some(user) = tx.reader().user(login)? else { return Ok(()) };
        let with = format!("<{}> to {} recipients", letter.origin.message_id, letter.recipients.len());
        if !self.forwarded.is_empty() {
            return tx.answered(&user, &self.forwarded, Action::Forward, &with);
        }
        tx.answered(&user, &self.answered, Action::Reply, &with)
    }
}

/// The ids between angle brackets, without them.
fn message_ids(text: &str) -> Vec<String> {
    let parts = text.split('<').skip(1).filter_map(|part| part.split_once('>'));
    parts.map(|(id, _)| id.trim().to_owned()).filter(|id| !id.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::message_ids;

    #[test]
    fn message_ids_are_what_stands_between_brackets() {
        assert_eq!(message_ids("<a@x>\r\n <b@y> c@z"), ["a@x", "b@y"]);
        assert_eq!(message_ids("a@x < > <"), Vec::<String>::new());
    }
}
