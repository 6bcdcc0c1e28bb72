//! Content shown to a scanner, for viruses or for spam: another program, on this machine or beside it, that speaks a
//! protocol of its own.
//!
//! A scan ends with what the scanner said of all of the content, or with a [`ScanError`]. Nothing between the two is
//! ever taken for «clean»: not a short answer, not one that came too early, not one that cannot be read.

mod clamd;
mod exchange;
mod feed;
mod icap;
mod rating;
mod rspamd;
mod spamd;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sigillo_mail::{Rope, Source};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use feed::{Feed, Reading};
pub use rating::{Rating, SYMBOLS_MAX};

/// Octets that remain of a scanner's words: longer names of viruses exist nowhere.
pub const WORDS_MAX: usize = 128;
/// How long the version that a scanner told is taken for its present one.
const VERSION_LIFE: Duration = Duration::from_secs(60);

/// What a scanner speaks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Protocol {
    /// ClamAV's daemon: `INSTREAM` of clamd(8).
    Clamd,
    /// ICAP ([RFC 3507]), mode RESPMOD.
    Icap {
        /// The service's path on the server.
        service: String,
    },
    /// Rspamd's normal worker: `POST /checkv2` over HTTP.
    Rspamd,
    /// SpamAssassin's daemon: `SYMBOLS` of SPAMC/1.5.
    Spamd,
}

impl Protocol {
    /// Whether it judges messages, so that nothing else may be shown to it.
    fn wants_messages(&self) -> bool {
        matches!(self, Protocol::Rspamd | Protocol::Spamd)
    }

    /// The word of the configuration.
    pub fn word(&self) -> &'static str {
        match self {
            Protocol::Clamd => "clamd",
            Protocol::Icap { .. } => "icap",
            Protocol::Rspamd => "rspamd",
            Protocol::Spamd => "spamd",
        }
    }
}

/// What is known of a message beside its bytes, for scanners that judge by it; the names are those of
/// [`FACT_NAMES`], values are one line each.
pub type ScanFacts = Vec<(String, String)>;

/// The facts that a scanner may be told: address, greeting and name of the peer; the envelope; the login; our id.
pub const FACT_NAMES: [&str; 6] = ["ip", "helo", "from", "rcpt", "user", "queue-id"];

/// Where a scanner listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host:port`.
    Tcp(String),
    /// A socket in the file system.
    Unix(PathBuf),
}

/// A scanner as the operator describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannerOptions {
    /// The operator's name for it.
    pub name: String,
    /// What it speaks.
    pub protocol: Protocol,
    /// Where it listens.
    pub address: Address,
    /// For one scan, from the connection to the answer.
    pub timeout: Duration,
    /// Octets of content that are shown to it at most.
    pub size_max: u64,
    /// Connections at once; more scans wait for one to end.
    pub connections: usize,
}

/// What is scanned: a whole message, or the body of one of its parts.
#[derive(Debug, Clone)]
pub struct View {
    /// The bytes.
    pub rope: Rope,
    /// The transfer encoding to remove; none for a whole message.
    pub encoding: Option<String>,
    /// What else is known of the message.
    pub facts: ScanFacts,
}

impl View {
    /// The facts of one name.
    fn facts<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.facts.iter().filter(move |(fact, _)| fact == name).map(|(_, value)| value.as_str())
    }
}

/// What a scanner said of all of a content. The words are a stranger's: printable ASCII, at most [`WORDS_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanReport {
    /// The operator's name of the scanner.
    pub scanner: String,
    /// What it speaks, the word of the configuration.
    pub protocol: &'static str,
    /// The scanner's name of what it found; none: it found nothing.
    pub threat: Option<String>,
    /// What the scanner calls itself.
    pub version: Option<String>,
    /// What it says of its signatures, such as their number and date.
    pub signatures: Option<String>,
    /// How it rates the message, of scanners that do.
    pub rating: Option<Rating>,
}

/// Why it is not known whether a content is clean.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// No connection.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// Not in time.
    #[error("gave no answer within {0:?}")]
    Late(Duration),
    /// It went away.
    #[error("closed the connection without a whole answer")]
    Ended,
    /// It called a content clean that it had not seen to its end.
    #[error("answered before it had the whole content")]
    Early,
    /// Not the protocol.
    #[error("gave an answer that is none: {0}")]
    Garbage(String),
    /// It says itself that it could not.
    #[error("reports an error: {0}")]
    Refused(String),
    /// More than [`ScannerOptions::size_max`], or than the scanner takes: trying again does not help.
    #[error("does not take content of this size: {0}")]
    TooLarge(String),
    /// A scanner of messages was to be shown something else.
    #[error("is shown whole messages only")]
    NotAMessage,
    /// Our own disk.
    #[error("was not shown the content, which cannot be read: {0}")]
    Unreadable(String),
}

/// Every scanner of a server, by its name.
#[derive(Default)]
pub struct Scanners {
    by_name: BTreeMap<String, Scanner>,
}

impl Scanners {
    /// As the operator describes them.
    pub fn new(options: impl IntoIterator<Item = ScannerOptions>) -> Scanners {
        let named = options.into_iter().map(|options| (options.name.clone(), Scanner::new(options)));
        Scanners { by_name: named.collect() }
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Scanner> {
        self.by_name.get(name)
    }
}

/// One scanner.
pub struct Scanner {
    options: ScannerOptions,
    permits: Semaphore,
    /// What it last said of itself, and when.
    version: Mutex<Option<(Instant, Version)>>,
}

/// What a scanner says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Version {
    program: Option<String>,
    signatures: Option<String>,
}

/// What one showing of a content came to.
struct Shown {
    threat: Option<String>,
    version: Version,
    rating: Option<Rating>,
    /// The content has another reading: see [`Reading`].
    goes_on: bool,
}

impl Scanner {
    /// Opens nothing yet.
    pub fn new(options: ScannerOptions) -> Scanner {
        let permits = Semaphore::new(options.connections);
        Scanner { options, permits, version: Mutex::new(None) }
    }

    /// Shows a content, in every reading that it has, and waits for the answer. To drop the future ends the scan.
    pub async fn scan(&self, view: &View, source: Arc<dyn Source>) -> Result<ScanReport, ScanError> {
        if view.encoding.is_some() && self.options.protocol.wants_messages() {
            return Err(ScanError::NotAMessage);
        }
        // Waiting for a turn is bounded by whoever waits for the scan, not by the scanner's time.
        let _permit = self.permits.acquire().await.map_err(|error| ScanError::Unreachable(error.to_string()))?;
        let limit = self.options.timeout;
        timeout(limit, self.every_reading(view, source)).await.map_err(|_| ScanError::Late(limit))?
    }

    async fn every_reading(&self, view: &View, source: Arc<dyn Source>) -> Result<ScanReport, ScanError> {
        let mut shown = self.show(view, source.clone(), Reading::ToTheEnd).await?;
        if shown.threat.is_none() && shown.goes_on {
            shown = self.show(view, source, Reading::ToThePadding).await?;
        }
        Ok(ScanReport {
            scanner: self.options.name.clone(),
            protocol: self.options.protocol.word(),
            threat: shown.threat,
            version: shown.version.program,
            signatures: shown.version.signatures,
            rating: shown.rating,
        })
    }

    async fn show(&self, view: &View, source: Arc<dyn Source>, reading: Reading) -> Result<Shown, ScanError> {
        match &self.options.protocol {
            Protocol::Clamd => {
                // Asked before: signatures that are loaded meanwhile are then not claimed.
                let version = self.version().await;
                let feed = Feed::open(view, source, reading, self.options.size_max);
                let (threat, goes_on) = clamd::scan(self.connect().await?, feed).await?;
                Ok(Shown { threat, version, rating: None, goes_on })
            }
            Protocol::Icap { service } => {
                let host = match &self.options.address {
                    Address::Tcp(host) => host.as_str(),
                    Address::Unix(_) => "localhost",
                };
                let head = icap::head(host, service, view.encoding.is_none());
                let feed = Feed::open(view, source, reading, self.options.size_max);
                icap::scan(self.connect().await?, head, feed).await
            }
            Protocol::Rspamd => {
                let request = rspamd::head(view)?;
                let feed = Feed::open(view, source, reading, self.options.size_max);
                rspamd::scan(self.connect().await?, request, view.rope.len(), feed).await
            }
            Protocol::Spamd => {
                // RFC 5321 §4.4: it reads the peer and the envelope in the fields that a server puts above a message.
                let traced = spamd::traced(view);
                let head = spamd::head(&traced);
                let feed = Feed::open(&traced, source, reading, self.options.size_max);
                spamd::scan(self.connect().await?, head, traced.rope.len(), feed).await
            }
        }
    }

    /// What clamd says of itself: nothing, where it does not say.
    async fn version(&self) -> Version {
        let mut last = self.version.lock().await;
        if let Some((at, version)) = &*last
            && at.elapsed() < VERSION_LIFE
        {
            return version.clone();
        }
        let Ok(stream) = self.connect().await else { return Version::default() };
        let Some(version) = clamd::version(stream).await else { return Version::default() };
        *last = Some((Instant::now(), version.clone()));
        version
    }

    async fn connect(&self) -> Result<Box<dyn Connection>, ScanError> {
        let unreachable = |error: std::io::Error| ScanError::Unreachable(error.to_string());
        Ok(match &self.options.address {
            Address::Tcp(host) => {
                let stream = TcpStream::connect(host).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                Box::new(stream)
            }
            Address::Unix(path) => Box::new(UnixStream::connect(path).await.map_err(unreachable)?),
        })
    }
}

/// A connection to a scanner, of either kind.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// A scanner's words, as they may stand in a log, a header field and a notice.
fn words(octets: &[u8]) -> String {
    let printable = octets.iter().map(|octet| if (b' '..=b'~').contains(octet) { char::from(*octet) } else { '?' });
    printable.take(WORDS_MAX).collect::<String>().trim().to_owned()
}

/// The name of what was found. A scanner that does not name it has found it all the same.
fn threat(octets: &[u8]) -> String {
    let name = words(octets);
    if name.is_empty() { "unnamed".into() } else { name }
}
