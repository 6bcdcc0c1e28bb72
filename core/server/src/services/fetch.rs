//! What lies at a target, read back into content of this server.

use sigillo_delivery::outbox::{FETCH_MAX, Fetch, FetchError, Target};
use sigillo_mail::Rope;
use sigillo_plugin::ServiceError;
use sigillo_store::Spool;

use super::{aside, unavailable};

/// Pieces that wait to be written.
const PIECES_AHEAD: usize = 4;

/// Exactly what was asked for, or an error.
pub async fn from_target(target: &Target, fetch: Fetch, mut spool: Spool) -> Result<Rope, ServiceError> {
    let most = fetch.length;
    if most > FETCH_MAX {
        return Err(ServiceError::TooLarge(format!("at most {FETCH_MAX} octets are read back at once")));
    }
    let (sender, mut pieces) = tokio::sync::mpsc::channel::<bytes::Bytes>(PIECES_AHEAD);
    let kept = aside(move || {
        let mut length = 0;
        while let Some(piece) = pieces.blocking_recv() {
            length += piece.len() as u64;
            if length > most {
                return Err(ServiceError::Unavailable("more came than was asked for".into()));
            }
            spool.write(&piece).map_err(unavailable)?;
        }
        if length < most {
            return Err(ServiceError::Unavailable(format!("only {length} of {most} octets came")));
        }
        spool.finish().map_err(unavailable)
    });
    let (fetched, kept) = tokio::join!(target.fetch(&fetch, sender), kept);
    fetched.map_err(|error| match error {
        FetchError::NotFound => ServiceError::NotFound,
        FetchError::Invalid(why) => ServiceError::Invalid(why),
        FetchError::Unavailable(why) => ServiceError::Unavailable(why),
    })?;
    kept
}
