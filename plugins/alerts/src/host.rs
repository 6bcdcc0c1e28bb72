//! What the plugin needs of the server, so that its logic runs without one.

/// Why a step could not be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// It may work later.
    Unavailable(String),
    /// What was asked for cannot be done; the words are for whoever asked.
    Refused(String),
    /// Anything else: a grant that is not there, a mistake of this plugin's.
    Other(String),
}

/// The message that was filed: what matters of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrived {
    /// The mailbox.
    pub mailbox: String,
    /// The first `X-Ricevuta`, `X-Trasporto` and `Message-ID`.
    pub receipt: Option<String>,
    /// See `receipt`.
    pub transport: Option<String>,
    /// See `receipt`.
    pub message_id: Option<String>,
}

/// A tag of 96 bits as hexadecimal digits, for a place outside of this server.
pub fn short_tag(host: &impl Host, data: &str) -> Result<String, Error> {
    let tag = host.tag(data.as_bytes())?;
    Ok(tag.iter().take(12).map(|octet| format!("{octet:02x}")).collect())
}

/// The server during one step.
pub trait Host {
    /// The instant of the step, milliseconds since 1970, UTC.
    fn now(&self) -> u64;
    /// Seconds to add to UTC for legal time in Italy.
    fn offset(&self, at: u64) -> i32;
    /// What holds for a mailbox under the name of a setting.
    fn setting(&self, mailbox: &str, name: &str) -> Result<Option<String>, Error>;
    /// `present`, `unknown`, `full`, `disabled` or `remote`.
    fn status(&self, mailbox: &str) -> Result<String, Error>;
    /// Whether a domain is of certified mail.
    fn is_certified(&self, domain: &str) -> Result<bool, Error>;
    /// A value of the plugin's state.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;
    /// Keeps a value for some days.
    fn set(&self, key: &str, value: &[u8], days: u32) -> Result<(), Error>;
    /// Forgets a value.
    fn delete(&self, key: &str) -> Result<(), Error>;
    /// Asks for a wake-up.
    fn wake(&self, key: &str, at: u64) -> Result<(), Error>;
    /// Forgets a wake-up.
    fn cancel(&self, key: &str) -> Result<(), Error>;
    /// Queues a message under the null reverse-path. `key` tells those of one step apart.
    fn submit(&self, key: &str, to: &str, message: &[u8]) -> Result<(), Error>;
    /// Queues a request to a target. The same key again is no second request.
    fn queue(
        &self,
        target: &str,
        key: &str,
        parameters: &[(String, String)],
        content: Option<&str>,
    ) -> Result<(), Error>;
    /// A tag over data that only this plugin of this server can make; 32 octets.
    fn tag(&self, data: &[u8]) -> Result<Vec<u8>, Error>;
    /// A new unique name of letters, digits and dots; the same for the same step run anew.
    fn id(&self) -> String;
    /// A line for the operator.
    fn warn(&self, text: &str);
}
