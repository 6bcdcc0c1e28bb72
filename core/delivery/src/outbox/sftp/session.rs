//! One connection to an SFTP server, from the handshake to the file under its name.

use std::io::{Read, Seek, SeekFrom, Write};
use std::net::TcpStream;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use sigillo_mail::{Rope, Source};
use ssh2::{ErrorCode, MethodType, OpenFlags, OpenType};

use super::{Login, SftpOptions};
use crate::outbox::fetch::{FetchError, Pieces};
use crate::outbox::{Attempt, Said};

/// Octets that are written or read at once: the library keeps as many requests under way as these hold.
const WINDOW: usize = 512 * 1024;
/// Answers of the server (draft-ietf-secsh-filexfer-02 §7).
const NO_SUCH_FILE: i32 = 2;
const OPERATION_UNSUPPORTED: i32 = 8;

/// Why it did not come to its end.
#[derive(Debug)]
pub enum Failure {
    /// The server was not reached, or did not speak the protocol, or is not the one that was named.
    Away(String),
    /// It said no, to something that an operator on either side can mend.
    Later(Option<u32>, String),
    /// Other content lies under the name.
    Taken(String),
    /// Nothing lies under the name.
    Missing,
    /// Our own disk, or nobody takes what is read.
    Own(String),
}

impl Failure {
    pub fn away(error: impl std::fmt::Display) -> Failure {
        Failure::Away(error.to_string())
    }

    /// As the end of an attempt. Only another file under the same name is an answer for good: all else an operator can
    /// mend while the request waits.
    pub fn attempt(self) -> Attempt {
        let later =
            |code, text: String| Attempt::Later { said: Said { code, ..Said::words(text) }, away: false, wait: None };
        match self {
            Failure::Away(why) => Attempt::away(why),
            Failure::Later(code, why) => later(code, why),
            Failure::Taken(why) => Attempt::Refused(Said::words(why)),
            Failure::Missing => later(Some(NO_SUCH_FILE as u32), "the folder is not there".into()),
            Failure::Own(why) => later(None, why),
        }
    }

    pub fn fetch(self) -> FetchError {
        match self {
            Failure::Missing => FetchError::NotFound,
            Failure::Away(why) | Failure::Later(_, why) | Failure::Taken(why) | Failure::Own(why) => {
                FetchError::Unavailable(why)
            }
        }
    }
}

/// An answer of the server is no reason to think that it is away; anything else is.
fn failed(what: &str, error: &ssh2::Error) -> Failure {
    match error.code() {
        ErrorCode::SFTP(NO_SUCH_FILE) => Failure::Missing,
        ErrorCode::SFTP(code) => {
            Failure::Later(u32::try_from(code).ok(), format!("{what}: the server says {}", error.message()))
        }
        ErrorCode::Session(_) => Failure::Away(format!("{what}: {}", error.message())),
    }
}

/// Files tell their failures as those of any file: what the server said is lost but for its kind. One that stopped
/// answering is away.
fn broken(what: &str, error: &std::io::Error) -> Failure {
    let words = format!("{what}: {error}");
    if error.kind() == std::io::ErrorKind::TimedOut { Failure::Away(words) } else { Failure::Later(None, words) }
}

/// Errors of the library at which nobody was heard: LIBSSH2_ERROR_SOCKET_SEND, _TIMEOUT, _SOCKET_DISCONNECT,
/// _SOCKET_TIMEOUT, _SOCKET_RECV.
const GONE: [i32; 5] = [-7, -9, -13, -30, -43];

pub struct Session {
    sftp: ssh2::Sftp,
    /// Ends when it is dropped.
    _session: ssh2::Session,
}

impl Session {
    /// Handshake, host key, login (RFC 4253 §7, RFC 4252).
    pub fn open(socket: TcpStream, options: &SftpOptions) -> Result<Session, Failure> {
        let mut session = ssh2::Session::new().map_err(Failure::away)?;
        session.set_timeout(u32::try_from(options.idle.as_millis()).unwrap_or(u32::MAX));
        session.method_pref(MethodType::HostKey, options.host_key.algorithms()).map_err(Failure::away)?;
        session.set_tcp_stream(socket);
        session.handshake().map_err(|error| Failure::Away(format!("handshake: {}", error.message())))?;
        let shown = session.host_key().map(|(key, _)| STANDARD_NO_PAD.encode(key)).unwrap_or_default();
        if shown != options.host_key.base64 {
            return Err(Failure::Away(format!(
                "the server shows another host key than the one that is named: {shown}"
            )));
        }
        let user = &options.username;
        let login = match &options.login {
            Login::Key { private, passphrase } => {
                session.userauth_pubkey_memory(user, None, private, passphrase.as_deref())
            }
            Login::Password(password) => session.userauth_password(user, password),
        };
        login.map_err(|error| {
            let words = format!("login as {user}: {}", error.message());
            match error.code() {
                ErrorCode::Session(code) if GONE.contains(&code) => Failure::Away(words),
                _ => Failure::Later(None, words),
            }
        })?;
        let sftp = session.sftp().map_err(|error| Failure::Away(format!("no sftp there: {}", error.message())))?;
        Ok(Session { sftp, _session: session })
    }

    /// Brings a file under its name, or finds that it is there already; says which.
    pub fn deposit(
        &self,
        path: &str,
        content: &Rope,
        source: &dyn Source,
        read_back: bool,
    ) -> Result<&'static str, Failure> {
        let wanted = content.sha256(source).map_err(|error| Failure::Own(error.to_string()))?;
        if let Some(same) = self.compare(path, content.len(), wanted)? {
            return if same { Ok("it was there already, the same") } else { Err(taken(path)) };
        }
        self.make_folders(path)?;
        let part = part_of(path);
        self.write(&part, content, source)?;
        if read_back && self.compare(&part, content.len(), wanted)? != Some(true) {
            return Err(Failure::Later(None, "what was read back is not what was written".into()));
        }
        // Version 3 of the protocol renames onto nothing only (§6.5): a file that came meanwhile is not replaced.
        if let Err(error) = self.sftp.rename(Path::new(&part), Path::new(path), None) {
            return match self.compare(path, content.len(), wanted)? {
                Some(true) => Ok("it was there already, the same"),
                Some(false) => Err(taken(path)),
                None => Err(failed("giving it its name", &error)),
            };
        }
        match self.sftp.stat(Path::new(path)) {
            Ok(found) if found.size == Some(content.len()) => Ok("stored"),
            Ok(_) => Err(Failure::Later(None, "under its name it has another size".into())),
            Err(error) => Err(failed("looking at it under its name", &error)),
        }
    }

    /// Whether the same content lies there; none if nothing does.
    fn compare(&self, path: &str, size: u64, wanted: [u8; 32]) -> Result<Option<bool>, Failure> {
        let found = match self.sftp.stat(Path::new(path)) {
            Ok(found) => found,
            Err(error) if error.code() == ErrorCode::SFTP(NO_SUCH_FILE) => return Ok(None),
            Err(error) => return Err(failed("looking whether it is there", &error)),
        };
        if found.size != Some(size) {
            return Ok(Some(false));
        }
        let mut hash = Sha256::new();
        self.read(path, 0, size, |piece| {
            hash.update(piece);
            Ok(())
        })?;
        Ok(Some(hash.finalize()[..] == wanted))
    }

    fn write(&self, path: &str, content: &Rope, source: &dyn Source) -> Result<(), Failure> {
        let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let opened = self.sftp.open_mode(Path::new(path), flags, 0o600, OpenType::File);
        let mut file = opened.map_err(|error| failed("making the file", &error))?;
        let mut window = Vec::with_capacity(WINDOW);
        for chunk in content.chunks(source) {
            window.extend_from_slice(&chunk.map_err(|error| Failure::Own(error.to_string()))?);
            if window.len() + sigillo_mail::rope::CHUNK > WINDOW {
                file.write_all(&window).map_err(|error| broken("writing", &error))?;
                window.clear();
            }
        }
        file.write_all(&window).map_err(|error| broken("writing", &error))?;
        match file.fsync() {
            Ok(()) => {}
            // An extension (fsync@openssh.com): without it the server's word is all there is.
            Err(error) if error.code() == ErrorCode::SFTP(OPERATION_UNSUPPORTED) => {}
            Err(error) => return Err(failed("syncing", &error)),
        }
        file.close().map_err(|error| failed("closing", &error))
    }

    /// Every folder on the way that is not there. One that cannot be made shows when the file is.
    fn make_folders(&self, path: &str) -> Result<(), Failure> {
        for (end, _) in path.match_indices('/').filter(|(end, _)| *end > 0) {
            let folder = Path::new(&path[..end]);
            match self.sftp.stat(folder) {
                Ok(_) => {}
                Err(error) if error.code() == ErrorCode::SFTP(NO_SUCH_FILE) => {
                    // Another request may be faster: then it is there, which is the goal.
                    let made = self.sftp.mkdir(folder, 0o700);
                    if made.is_err() && self.sftp.stat(folder).is_err() {
                        return made.map_err(|error| failed("making its folder", &error));
                    }
                }
                Err(error) => return Err(failed("looking at its folder", &error)),
            }
        }
        Ok(())
    }

    /// Exactly `length` octets from `offset`.
    fn read(
        &self,
        path: &str,
        offset: u64,
        length: u64,
        mut take: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut file = self.sftp.open(Path::new(path)).map_err(|error| failed("opening", &error))?;
        file.seek(SeekFrom::Start(offset)).map_err(|error| broken("reading", &error))?;
        let mut window = vec![0; WINDOW.min(usize::try_from(length).unwrap_or(WINDOW))];
        let mut left = length;
        while left > 0 {
            let most = window.len().min(usize::try_from(left).unwrap_or(window.len()));
            let read = file.read(&mut window[..most]).map_err(|error| broken("reading", &error))?;
            if read == 0 {
                return Err(Failure::Later(None, format!("it ends {left} octets too early")));
            }
            left -= read as u64;
            take(&window[..read])?;
        }
        Ok(())
    }

    /// Hands on exactly `length` octets from `offset`.
    pub fn fetch(&self, path: &str, offset: u64, length: u64, pieces: &Pieces) -> Result<(), Failure> {
        self.read(path, offset, length, |piece| {
            let given = pieces.blocking_send(Bytes::copy_from_slice(piece));
            given.map_err(|_| Failure::Own("nobody takes what is read".into()))
        })
    }
}

fn taken(path: &str) -> Failure {
    Failure::Taken(format!("other content lies there under the name {path}"))
}

/// The name under which a file is written until it is whole: the same for every attempt, so that none is left behind.
fn part_of(path: &str) -> String {
    match path.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/.{name}.part"),
        None => format!(".{path}.part"),
    }
}
