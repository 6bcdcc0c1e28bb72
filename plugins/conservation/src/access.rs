//! Who may look at what was deposited (CON-03): the content manager of a mailbox, his delegates, the administrator.

use crate::host::{Event, Failure, Host};
use crate::pack::setting;

/// Delegates of a content manager (CON-03).
pub const DELEGATES_MAX: usize = 2;

/// As what somebody looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Whoever may speak to the server's control socket.
    Administrator,
    /// Responsible for the content.
    Manager,
    /// One of the delegates.
    Delegate,
}

impl Role {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Role::Administrator => "administrator",
            Role::Manager => "manager",
            Role::Delegate => "delegate",
        }
    }
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asker {
    /// As the operating system or a login knows him.
    pub actor: String,
    /// For whom he asks, an address; none: for the administrator.
    pub on_behalf: Option<String>,
}

/// As what he may look at a mailbox, or why he may not.
pub fn role<H: Host>(host: &H, mailbox: &str, asker: &Asker) -> Result<Result<Role, String>, Failure> {
    let Some(who) = asker.on_behalf.as_deref() else { return Ok(Ok(Role::Administrator)) };
    let same = |address: &str| address.trim().eq_ignore_ascii_case(who.trim());
    let list = |value: Option<String>| -> Vec<String> {
        let value = value.unwrap_or_default();
        value.split([',', ' ', ';']).filter(|one| !one.is_empty()).map(str::to_owned).collect()
    };
    if list(setting(host, mailbox, "conservation-manager")?).first().is_some_and(|manager| same(manager)) {
        return Ok(Ok(Role::Manager));
    }
    let delegates = list(setting(host, mailbox, "conservation-delegates")?);
    if delegates.iter().take(DELEGATES_MAX).any(|delegate| same(delegate)) {
        return Ok(Ok(Role::Delegate));
    }
    Ok(Err(format!("{who} is neither the content manager of {mailbox} nor one of the delegates")))
}

/// Notes an access, allowed or not, with what was looked at.
pub fn note<H: Host>(
    host: &H,
    operation: &'static str,
    mailbox: &str,
    asker: &Asker,
    as_what: &str,
    what: Vec<(&'static str, String)>,
) -> Result<(), Failure> {
    let mut details = vec![("operation", operation.to_owned()), ("actor", asker.actor.clone())];
    details.push(("as", as_what.to_owned()));
    details.extend(asker.on_behalf.clone().map(|who| ("on-behalf-of", who)));
    details.extend(what);
    let event = Event { kind: "conservation-access", mailbox: mailbox.into(), details, ..Event::default() };
    host.record(&event).map_err(|error| error.during("message log"))
}
