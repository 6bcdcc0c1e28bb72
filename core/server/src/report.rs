//! Reports of failure, queued in the transaction that gives a recipient up.

use std::time::Duration;

use sigillo_delivery::report::{HEADER_REPEATED_MAX, Report};
use sigillo_delivery::{Failed, failure_report};
use sigillo_mail::{ReversePath, Rope};
use sigillo_store::{StoreError, Tx};

use crate::apply;
use crate::origin::{Letter, Origin};

/// Queues a report to the sender of a letter. Nothing for a null reverse path: no report about a report
/// (RFC 5321 §6.1).
pub fn enqueue(
    tx: &mut Tx<'_>,
    hostname: &str,
    letter: &Letter,
    header: &[u8],
    failed: &[Failed],
    life: Duration,
) -> Result<(), StoreError> {
    let Some(to) = letter.reverse_path.mailbox() else { return Ok(()) };
    // The recipient's row leaves in this transaction, so one entry and recipient can be reported once only; the id
    // makes that visible.
    let recipient = failed.first().map(|failed| failed.recipient.key()).unwrap_or_default();
    let id = format!("{}.report.{:08x}", letter.id, fnv(recipient.as_bytes()));
    let message_id = format!("{id}@{hostname}");
    let header = &header[..header.len().min(HEADER_REPEATED_MAX as usize)];
    let report =
        Report { hostname, message_id: &message_id, to, entry: &letter.id, header, at: (tx.now() / 1000) as i64 };
    let content = Rope::from_bytes(failure_report(&report, failed)?);
    let mut origin = Origin::internal("core");
    origin.message_id = message_id.clone();
    let result = Letter { id, origin, reverse_path: ReversePath::Null, recipients: vec![to.clone()], content };
    apply::enqueue(tx, &result, life)?;
    let recipients = failed.iter().map(|failed| failed.recipient.to_string()).collect();
    let reason = failed.first().map(|failed| failed.failure.to_string()).unwrap_or_default();
    apply::log_event(tx, "returned", letter, recipients, &[("reason", reason), ("report", message_id)])
}

/// FNV-1a: short names for ids, nothing secret.
fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
