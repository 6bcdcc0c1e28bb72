//! CAPABILITY, ENABLE, ID, NAMESPACE.

use imap_codec::imap_types::core::{IString, NString};
use imap_codec::imap_types::extensions::enable::CapabilityEnable;
use sigillo_auth::Mechanism;

use crate::limits::ID_PAIRS_MAX;
use crate::output::{Output, folder};
use crate::refusal::{Done, Refusal};
use crate::session::Session;

/// What every connection offers.
const ALWAYS: &str = "IMAP4rev1 LITERAL+ SASL-IR ID ENABLE";
/// What is of use only after login; the shorter list before it keeps greetings small.
const AFTER_LOGIN: &str = "IDLE NAMESPACE CHILDREN SPECIAL-USE LIST-EXTENDED LIST-STATUS UIDPLUS \
                           MOVE UNSELECT CONDSTORE QUOTA QUOTA=RES-STORAGE STATUS=SIZE WITHIN";

impl Session {
    /// The list of RFC 3501 §7.2.1.
    pub(crate) fn capabilities(&self) -> String {
        if self.is_authenticated() {
            return format!("{ALWAYS} {AFTER_LOGIN}");
        }
        if !self.setting.encrypted {
            // RFC 3501 §6.2.3, §11.1: no password in clear, and none asked for.
            return format!("{ALWAYS} STARTTLS LOGINDISABLED");
        }
        let mechanisms: Vec<String> = Mechanism::ALL.iter().map(|m| format!("AUTH={}", m.name())).collect();
        format!("{ALWAYS} {}", mechanisms.join(" "))
    }

    pub(crate) fn capability(&self, out: &mut Output<'_>) -> Done {
        out.untagged(format_args!("CAPABILITY {}", self.capabilities()));
        Ok("CAPABILITY completed".into())
    }

    /// RFC 5161 §3.1: what is not known is left out of the answer.
    pub(crate) fn enable(&mut self, capabilities: &[CapabilityEnable<'_>], out: &mut Output<'_>) -> Done {
        let condstore = capabilities.contains(&CapabilityEnable::CondStore);
        self.condstore |= condstore;
        out.untagged(format_args!("ENABLED{}", if condstore { " CONDSTORE" } else { "" }));
        Ok("ENABLE completed".into())
    }

    /// RFC 2971 §3.1. What a client says of itself is for the log, bounded.
    pub(crate) fn id(&self, parameters: Option<Vec<(IString<'_>, NString<'_>)>>, out: &mut Output<'_>) -> Done {
        let parameters = parameters.unwrap_or_default();
        if parameters.len() > ID_PAIRS_MAX {
            return Err(Refusal::bad("too many ID fields"));
        }
        let name = parameters.iter().find(|(field, _)| field.as_ref().eq_ignore_ascii_case(b"name"));
        if let Some((_, NString(Some(name)))) = name {
            let name: String =
                String::from_utf8_lossy(name.as_ref()).chars().filter(|c| !c.is_control()).take(64).collect();
            tracing::debug!(peer = %self.setting.peer, client = %name, "IMAP client named itself");
        }
        out.untagged(format_args!("ID (\"name\" \"Sigillo\")"));
        Ok("ID completed".into())
    }

    /// RFC 2342 §5: one personal namespace without a prefix, none of other users, and what the backend has beside them.
    pub(crate) async fn namespace(&self, out: &mut Output<'_>) -> Done {
        let shared = self.backend.shared_namespaces(&self.account).await?;
        let shared: String = shared.iter().map(|prefix| format!("({} \"/\")", folder(prefix))).collect();
        let shared = if shared.is_empty() { "NIL".to_owned() } else { format!("({shared})") };
        out.untagged(format_args!("NAMESPACE ((\"\" \"/\")) NIL {shared}"));
        Ok("NAMESPACE completed".into())
    }
}
