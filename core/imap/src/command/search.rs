//! SEARCH ([RFC 3501 §6.4.4], MODSEQ of RFC 7162, OLDER and YOUNGER of RFC 5032).

use std::io;
use std::sync::Arc;

use imap_codec::imap_types::search::SearchKey;
use jiff::Timestamp;

use crate::backend::Message;
use crate::limits::SEARCH_READ_MAX;
use crate::output::Output;
use crate::refusal::{Done, Refusal};
use crate::search::{Budget, Content, Key, Known, SearchError};
use crate::session::Session;

impl Session {
    pub(crate) async fn search(
        &mut self,
        charset: Option<&str>,
        keys: &[SearchKey<'_>],
        uid: bool,
        out: &mut Output<'_>,
    ) -> Done {
        let known_charset = |name: &str| ["US-ASCII", "UTF-8"].iter().any(|c| c.eq_ignore_ascii_case(name));
        if charset.is_some_and(|name| !known_charset(name)) {
            return Err(Refusal::no("[BADCHARSET (US-ASCII UTF-8)] charset not supported"));
        }
        let with_mod_seq = keys.iter().any(names_mod_seq);
        self.condstore |= with_mod_seq;
        let selected = self.selected()?;
        let key = Arc::new(Key::compile(keys, selected, Timestamp::now().as_second()));
        let budget = Arc::new(Budget::new(SEARCH_READ_MAX));
        let (mut found, mut highest) = (Vec::new(), 0);
        for index in 0..selected.messages().len() {
            let selected = self.selected()?;
            let message = &selected.messages()[index];
            let recent = selected.is_recent(message);
            let answer = match key.known(&Known { index, message, recent }) {
                Some(answer) => answer,
                None => {
                    let message = message.clone();
                    self.look_inside(index, message, recent, &key, &budget).await?
                }
            };
            if answer {
                let message = &self.selected()?.messages()[index];
                found.push(if uid { message.uid } else { index as u32 + 1 });
                highest = highest.max(message.mod_seq);
            }
        }
        let mut line = String::from("SEARCH");
        found.iter().for_each(|n| line.push_str(&format!(" {n}")));
        // RFC 7162 §3.1.5
        if with_mod_seq && !found.is_empty() {
            line.push_str(&format!(" (MODSEQ {highest})"));
        }
        out.untagged(format_args!("{line}"));
        Ok("SEARCH completed".into())
    }

    /// A message whose bytes are gone matches nothing.
    async fn look_inside(
        &mut self,
        index: usize,
        message: Message,
        recent: bool,
        key: &Arc<Key>,
        budget: &Arc<Budget>,
    ) -> Result<bool, Refusal> {
        let folder = self.selected()?.state.folder;
        let Some((rope, source)) = self.backend.content(folder, message.uid).await? else { return Ok(false) };
        let (key, budget) = (key.clone(), budget.clone());
        let answer = tokio::task::spawn_blocking(move || {
            let known = Known { index, message: &message, recent };
            key.matches(&known, &mut Content::new(&rope, source.as_ref(), &budget))
        });
        answer.await.map_err(io::Error::other)?.map_err(|error| match error {
            SearchError::TooMuch => Refusal::no("[LIMIT] the search would read too much"),
            SearchError::Read(error) => {
                tracing::error!(%error, "message content cannot be read");
                Refusal::no("[SERVERBUG] a message cannot be read now")
            }
        })
    }
}

fn names_mod_seq(key: &SearchKey<'_>) -> bool {
    match key {
        SearchKey::ModSequence { .. } => true,
        SearchKey::And(keys) => keys.as_ref().iter().any(names_mod_seq),
        SearchKey::Or(a, b) => names_mod_seq(a) || names_mod_seq(b),
        SearchKey::Not(key) => names_mod_seq(key),
        _ => false,
    }
}
