//! The register of signatures (LOG-17): one record in the message log for each signature that a commit uses.
//!
//! A signature whose step did not end in a commit is under nothing that anybody was given; the operator's log has it
//! (the host writes it there).

use sigillo_plugin::ChangeSet;
use sigillo_store::evidence::NewEvent;
use sigillo_store::{StoreError, Tx};

/// The kind of such a record.
pub const KIND: &str = "signature";

/// Appends a record for each signature of a change set, in the transaction that uses it.
pub fn append(tx: &mut Tx<'_>, set: &ChangeSet, passage: &str) -> Result<(), StoreError> {
    for made in &set.signatures {
        let details = [
            ("key", made.key.clone()),
            ("serial", made.serial.clone()),
            ("certificate-sha1", made.certificate_sha1.clone()),
            ("content-sha256", made.content_sha256.clone()),
            ("content-size", made.content_size.to_string()),
            ("signed-at-ms", made.at_ms.to_string()),
            ("plugin", set.plugin.clone()),
            ("step", set.step.clone()),
        ];
        tx.append_evidence(NewEvent {
            message_id: message_id(set),
            kind: KIND.to_owned(),
            related: set.submissions.iter().map(|submission| submission.id.clone()).collect(),
            details: details.map(|(name, value)| (name.to_owned(), value)).to_vec(),
            passage: passage.to_owned(),
            source: "core".to_owned(),
            ..NewEvent::default()
        })?;
    }
    Ok(())
}

/// The original message for which the step signed, where its own events agree on one.
fn message_id(set: &ChangeSet) -> String {
    let mut ids = set.evidence.iter().map(|event| event.message_id.as_str());
    let first = ids.next().unwrap_or_default();
    if ids.all(|id| id == first) { first.to_owned() } else { String::new() }
}
