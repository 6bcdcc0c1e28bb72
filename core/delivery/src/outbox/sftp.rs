//! Files deposited by SFTP (the draft `draft-ietf-secsh-filexfer-02`, version 3, as OpenSSH speaks it, over RFC 4254).
//!
//! A file is written under a name of its own beside its place, synced where the server can, read back and compared, and
//! only then renamed: under its name there is nothing or the whole file. The same request made twice finds the file of
//! the first and compares it, so that it is there once. The server is known by its host key, which the operator names;
//! one that shows another is not spoken to any further (RFC 4251 §4.1).
//!
//! The library blocks, so an attempt has a thread of its own; to drop the attempt closes its socket, which ends it.

mod session;

use std::fmt;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sigillo_mail::{Rope, Source};

use super::fetch::{Fetch, FetchError, Pieces};
use super::{Attempt, Protocol, Request, egress};
use session::{Failure, Session};

/// Octets of a path; PATH_MAX of common systems is 4,096, and the folder comes before it.
pub const PATH_OCTETS_MAX: usize = 1024;

/// How we prove who we are (RFC 4252).
#[derive(Clone)]
pub enum Login {
    /// A private key as `ssh-keygen` writes it, and its passphrase.
    Key {
        /// The text of the file.
        private: String,
        /// Of an encrypted key.
        passphrase: Option<String>,
    },
    /// RFC 4252 §8.
    Password(String),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Login::Key { .. } => "a key",
            Login::Password(_) => "a password",
        })
    }
}

/// The server's host key as `known_hosts` and `ssh-keyscan` write it: `ssh-ed25519 AAAA…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostKey {
    kind: String,
    base64: String,
}

/// Kinds of host keys that are taken, with the signature algorithms that prove them (RFC 8709, RFC 5656, RFC 8332).
const KINDS: [(&str, &str); 5] = [
    ("ssh-ed25519", "ssh-ed25519"),
    ("ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256"),
    ("ecdsa-sha2-nistp384", "ecdsa-sha2-nistp384"),
    ("ecdsa-sha2-nistp521", "ecdsa-sha2-nistp521"),
    ("ssh-rsa", "rsa-sha2-512,rsa-sha2-256"),
];

impl HostKey {
    /// Reads `KIND BASE64`, with or without a comment behind it.
    pub fn parse(text: &str) -> Result<HostKey, String> {
        let mut words = text.split_ascii_whitespace();
        let (Some(kind), Some(base64)) = (words.next(), words.next()) else {
            return Err("it is not KIND BASE64, as `ssh-keyscan HOST` prints it behind the host's name".into());
        };
        if !KINDS.iter().any(|(known, _)| *known == kind) {
            let known: Vec<&str> = KINDS.iter().map(|(known, _)| *known).collect();
            return Err(format!("'{kind}' is not a kind of host key that is taken: {}", known.join(", ")));
        }
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet);
        if base64.len() < 40 || !base64.bytes().all(fits) {
            return Err("what stands behind the kind is not a key in base64".into());
        }
        Ok(HostKey { kind: kind.to_owned(), base64: base64.trim_end_matches('=').to_owned() })
    }

    /// The algorithms to ask the server for, so that it shows this key and not another one that it has.
    fn algorithms(&self) -> &'static str {
        KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, algorithms)| algorithms)
    }
}

/// A server as the operator describes it.
#[derive(Debug, Clone)]
pub struct SftpOptions {
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The key that it must show.
    pub host_key: HostKey,
    /// Who we are there.
    pub username: String,
    /// How we prove it.
    pub login: Login,
    /// The folder in which paths begin; the one of the login if it is empty.
    pub folder: String,
    /// Without any progress for so long, an attempt is given up.
    pub idle: Duration,
    /// Whether what was written is read back and compared before it gets its name.
    pub read_back: bool,
}

/// The protocol with one server. Parameters: `path`, of the file in the folder.
#[derive(Debug)]
pub struct Sftp {
    options: Arc<SftpOptions>,
}

/// Closes the socket under a session that nobody waits for any more.
struct Ends(Option<TcpStream>);

impl Drop for Ends {
    fn drop(&mut self) {
        if let Some(socket) = &self.0 {
            // It may be closed already, which is the goal.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }
}

impl Sftp {
    /// Connects nowhere yet.
    pub fn new(options: SftpOptions) -> Sftp {
        Sftp { options: Arc::new(options) }
    }

    /// Runs work with a session on a thread where blocking is allowed.
    async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Session) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, Failure> {
        let options = self.options.clone();
        let socket = egress::connect(&options.host, options.port).await.map_err(Failure::away)?;
        let socket = socket.into_std().map_err(Failure::away)?;
        socket.set_nonblocking(false).map_err(Failure::away)?;
        let _ends = Ends(Some(socket.try_clone().map_err(Failure::away)?));
        let done = tokio::task::spawn_blocking(move || work(&Session::open(socket, &options)?)).await;
        done.map_err(Failure::away)?
    }

    fn path(&self, parameters: &[(String, String)]) -> Result<String, String> {
        let path = path_of(parameters)?;
        let folder = self.options.folder.trim_end_matches('/');
        Ok(if self.options.folder.is_empty() { path.to_owned() } else { format!("{folder}/{path}") })
    }
}

/// The parameter `path`: names that lead downwards, separated by `/`.
fn path_of(parameters: &[(String, String)]) -> Result<&str, String> {
    if let Some((name, _)) = parameters.iter().find(|(name, _)| name != "path") {
        return Err(format!("an sftp target has no parameter '{name}'; it has: path"));
    }
    let [(_, path)] = parameters else { return Err("an sftp target wants one parameter 'path'".into()) };
    let plain = |name: &str| !name.is_empty() && name != "." && name != ".." && !name.chars().any(char::is_control);
    if path.len() > PATH_OCTETS_MAX || !path.split('/').all(plain) {
        return Err(format!("path '{}' does not lead downwards from the folder of the target", path.escape_default()));
    }
    Ok(path)
}

#[async_trait]
impl Protocol for Sftp {
    fn check(&self, parameters: &[(String, String)], size: Option<u64>) -> Result<(), String> {
        path_of(parameters)?;
        if size.is_none() { Err("an sftp target wants content: the file".into()) } else { Ok(()) }
    }

    async fn attempt(&self, request: &Request) -> Attempt {
        let path = match self.path(&request.parameters) {
            Ok(path) => path,
            Err(why) => return Attempt::Refused(super::Said::words(why)),
        };
        let content: Rope = request.content.clone().unwrap_or_default();
        let (source, read_back): (Arc<dyn Source>, bool) = (request.source.clone(), self.options.read_back);
        let done = self.with(move |session| session.deposit(&path, &content, &*source, read_back)).await;
        match done {
            Ok(words) => Attempt::Done(super::Said::words(words)),
            Err(failure) => failure.attempt(),
        }
    }

    async fn fetch(&self, fetch: &Fetch, pieces: Pieces) -> Result<(), FetchError> {
        let path = self.path(&fetch.parameters).map_err(FetchError::Invalid)?;
        let (offset, length) = (fetch.offset, fetch.length);
        let done = self.with(move |session| session.fetch(&path, offset, length, &pieces)).await;
        done.map_err(Failure::fetch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_downwards() {
        let path = |text: &str| path_of(&[("path".to_owned(), text.to_owned())]).is_ok();
        assert!(path("a.tar") && path("2026/11/a b.tar") && path("ada@pec.alfa.example/x.tar"));
        for wrong in ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a\nb", &"x".repeat(2000)] {
            assert!(!path(wrong), "{wrong}");
        }
        assert!(path_of(&[]).is_err());
        assert!(path_of(&[("object".to_owned(), "x".to_owned())]).unwrap_err().contains("'object'"));
    }

    #[test]
    fn a_host_key_is_one_of_the_kinds() {
        let key = "AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS";
        let parsed = HostKey::parse(&format!("ssh-ed25519 {key} comment")).unwrap();
        assert_eq!((parsed.kind.as_str(), parsed.base64.as_str()), ("ssh-ed25519", key));
        for wrong in ["", "ssh-ed25519", &format!("ssh-dss {key}"), "ssh-ed25519 short", "SHA256:abc"] {
            assert!(HostKey::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let login = Login::Password("hunter2".into());
        assert!(!format!("{login:?}").contains("hunter2"));
    }
}
