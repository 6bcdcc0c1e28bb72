//! Certified mail is never rated, marked or learned from (AS-02): what makes it so is a provider's signature, which is
//! verified here, whatever other steps the policy has.

use crate::host::{Error, Host, Signer};

/// Says that a message is a transport envelope or a receipt, or an anomaly envelope (RFC 6109 §3).
const TRANSPORT: &str = "X-Trasporto";
/// Says that a message is a receipt or a notice.
const RECEIPT: &str = "X-Ricevuta";
/// The word of an anomaly envelope: what it holds is not certified.
const ANOMALY: &str = "errore";

/// What stands before a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Certified: hands off.
    Certified,
    /// Ordinary mail.
    Ordinary,
    /// Ordinary mail inside an anomaly envelope.
    Wrapped,
}

/// What the message in hand is. A message that claims to be certified, or an anomaly envelope, and is not is ordinary: of
/// an envelope only what is inside is rated, and whoever forges one would choose what that is. Where the signature cannot
/// be judged, the claim holds.
pub fn kind<H: Host>(host: &H) -> Result<Kind, Error> {
    let (transport, receipt) = (host.header_count(TRANSPORT), host.header_count(RECEIPT));
    if transport == 0 && receipt == 0 {
        return Ok(Kind::Ordinary);
    }
    let says_anomaly = host.header_text(TRANSPORT).is_some_and(|text| text.trim().eq_ignore_ascii_case(ANOMALY));
    let wrapped = receipt == 0 && transport == 1 && says_anomaly;
    Ok(match host.signer()? {
        Signer::Nobody => Kind::Ordinary,
        Signer::Provider | Signer::Undecided if wrapped => Kind::Wrapped,
        Signer::Provider | Signer::Undecided => Kind::Certified,
    })
}

/// The first octets of what is to be rated or learned from; none of certified mail.
pub fn content<H: Host>(host: &H, max: u64) -> Result<Option<Vec<u8>>, Error> {
    Ok(match kind(host)? {
        Kind::Certified => None,
        Kind::Ordinary => Some(host.octets(max)?),
        Kind::Wrapped => match host.inner_octets(max)? {
            Some(inner) => Some(inner),
            None => Some(host.octets(max)?),
        },
    })
}
