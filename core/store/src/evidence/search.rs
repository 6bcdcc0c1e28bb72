//! Finding records again (LOG-03, LOG-19): by any of their data, alone or combined, page by page.
//!
//! Every search is a walk along one index in the order of instants, so that it costs what it finds and not what the log
//! holds: along the terms of the most telling condition, with the others looked up beside it; or along the instants.

use rusqlite::types::Value;
use rusqlite::{OptionalExtension, params_from_iter};

use super::{Field, Record, Stream, term};
use crate::Millis;
use crate::commit::Reader;
use crate::error::StoreError;

/// What to look for; an absent field matches everything.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Which log.
    pub stream: Stream,
    /// Id of the original message, of a message made for it, or the one that the client gave; exactly.
    pub message_id: Option<String>,
    /// Sender, whatever its case.
    pub sender: Option<String>,
    /// A recipient, whatever its case.
    pub recipient: Option<String>,
    /// What happened.
    pub kind: Option<String>,
    /// The provider that the event names.
    pub provider: Option<String>,
    /// The external server.
    pub peer: Option<String>,
    /// Not before.
    pub since: Option<Millis>,
    /// Not after.
    pub until: Option<Millis>,
    /// The records behind this one: the last of the page before.
    pub after: Option<u64>,
    /// Records at most.
    pub limit: usize,
}

impl Search {
    /// The conditions, the most telling first.
    fn terms(&self) -> Vec<(Field, String)> {
        let given = [
            (Field::Id, &self.message_id),
            (Field::Recipient, &self.recipient),
            (Field::Sender, &self.sender),
            (Field::Peer, &self.peer),
            (Field::Provider, &self.provider),
            (Field::Kind, &self.kind),
        ];
        given.into_iter().filter_map(|(field, value)| Some((field, term(field, value.as_deref()?)))).collect()
    }

    /// The statement and its values. The order of the joins is given, as the planner cannot know which is telling.
    fn statement(&self, behind: Option<(i64, i64)>) -> (String, Vec<Value>) {
        let terms = self.terms();
        let mut from = String::new();
        let mut conditions = String::new();
        let mut values = Vec::new();
        for (index, (field, value)) in terms.into_iter().enumerate() {
            from += &format!("evidence_terms t{index} CROSS JOIN ");
            conditions += &format!("t{index}.stream = ? AND t{index}.field = ? AND t{index}.value = ? AND ");
            if index > 0 {
                conditions += &format!("t{index}.at = t0.at AND t{index}.sequence = t0.sequence AND ");
            }
            values.extend([self.stream.number().into(), field.number().into(), Value::Text(value)]);
        }
        let place = if from.is_empty() { "e" } else { "t0" };
        conditions += "e.stream = ?";
        values.push(self.stream.number().into());
        if place == "t0" {
            conditions += " AND e.sequence = t0.sequence";
        }
        let clamp = |at: Millis| Value::Integer(i64::try_from(at).unwrap_or(i64::MAX));
        if let Some(since) = self.since {
            conditions += &format!(" AND {place}.at >= ?");
            values.push(clamp(since));
        }
        if let Some(until) = self.until {
            conditions += &format!(" AND {place}.at <= ?");
            values.push(clamp(until));
        }
        if let Some((at, sequence)) = behind {
            conditions += &format!(" AND ({place}.at, {place}.sequence) > (?, ?)");
            values.extend([at.into(), sequence.into()]);
        }
        values.push(Value::Integer(i64::try_from(self.limit).unwrap_or(i64::MAX)));
        let order = format!("ORDER BY {place}.at, {place}.sequence LIMIT ?");
        (format!("SELECT e.record FROM {from}evidence e WHERE {conditions} {order}"), values)
    }
}

impl Reader<'_> {
    /// Records that match, the oldest first.
    pub fn search_evidence(&self, search: &Search) -> Result<Vec<Record>, StoreError> {
        let behind = self.behind(search)?;
        let (statement, values) = search.statement(behind);
        let mut statement = self.db.prepare_cached(&statement)?;
        let rows = statement.query_map(params_from_iter(values), |row| row.get::<_, String>(0))?;
        rows.map(|text| {
            let text = text?;
            serde_json::from_str(&text).map_err(|e| StoreError::Damaged(format!("evidence record: {e}")))
        })
        .collect()
    }

    /// How the database would search, a line a step, for tests.
    #[doc(hidden)]
    pub fn explain_search(&self, search: &Search) -> Result<Vec<String>, StoreError> {
        let (statement, values) = search.statement(self.behind(search)?);
        let mut statement = self.db.prepare(&format!("EXPLAIN QUERY PLAN {statement}"))?;
        Ok(statement.query_map(params_from_iter(values), |row| row.get(3))?.collect::<Result<_, _>>()?)
    }

    fn behind(&self, search: &Search) -> Result<Option<(i64, i64)>, StoreError> {
        let Some(after) = search.after else { return Ok(None) };
        let at = self
            .db
            .prepare_cached("SELECT at FROM evidence WHERE stream = ?1 AND sequence = ?2")?
            .query_row((search.stream.number(), after as i64), |row| row.get::<_, i64>(0))
            .optional()?
            .ok_or_else(|| StoreError::NotFound(format!("record {after} of {}", search.stream.word())))?;
        Ok(Some((at, after as i64)))
    }
}
