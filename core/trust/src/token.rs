//! A private key that stays in a hardware module, reached through PKCS #11 ([PEC §5.1] recommends such a module).
//!
//! The module is somebody else's library in our process: it may lose its device, lock its PIN, or never come back from
//! a call. So nothing here is believed (the caller verifies each signature with the certificate's key), a lost session
//! is opened anew once and then the call fails, and no more than [`CALLS_MAX`] calls are ever inside one key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use openssl::bn::BigNum;
use openssl::ecdsa::EcdsaSig;
use openssl::hash::{MessageDigest, hash};

use crate::signing::is_private;

/// Calls inside the module at once for one key, and so sessions and threads that a stuck module can hold. Modules allow
/// tens to thousands; this many keep a network module of 2 ms a signature at 4,000 signatures a second.
pub const CALLS_MAX: usize = 8;
/// Longest PIN file, octets: PKCS #11 tokens take up to 255.
const PIN_OCTETS_MAX: u64 = 1024;

/// Which token of a module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenName {
    /// By the label it was initialised with.
    Label(String),
    /// By its maker's serial number.
    Serial(String),
    /// By the number of its slot; some modules number slots anew at each start.
    Slot(u64),
}

/// Which private key of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ObjectName {
    /// CKA_LABEL.
    Label(String),
    /// CKA_ID.
    Id(Vec<u8>),
}

/// Where a key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenPlace {
    /// The module: a shared library.
    pub module: PathBuf,
    /// The token.
    pub token: TokenName,
    /// The key.
    pub object: ObjectName,
    /// The user's PIN, one line; its owner's alone.
    pub pin_file: PathBuf,
}

impl std::fmt::Display for TokenPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.token {
            TokenName::Label(label) => write!(f, "token '{label}'")?,
            TokenName::Serial(serial) => write!(f, "token with serial number {serial}")?,
            TokenName::Slot(slot) => write!(f, "slot {slot}")?,
        }
        write!(f, " of {}", self.module.display())
    }
}

/// Why a token did not sign.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TokenError {
    /// What an operator has to put right: it does not pass by itself.
    #[error("{0}")]
    Setting(String),
    /// The token, its module or its session: it may work later.
    #[error("{0}")]
    Away(String),
}

/// The kind of the key, which the certificate tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Rsa,
    Curve,
}

/// A private key in a token.
pub(crate) struct TokenKey {
    place: TokenPlace,
    kind: TokenKind,
    module: Arc<Module>,
    /// Sessions that are logged in and not in use.
    idle: Mutex<Vec<Opened>>,
    calls: AtomicUsize,
    /// SHA-256 of a PIN that the token refused: it is not shown again, as three wrong ones lock most tokens.
    refused: Mutex<Option<Vec<u8>>>,
}

struct Opened {
    session: Session,
    object: ObjectHandle,
    /// The start of the module to which the session belongs.
    start: usize,
}

/// A loaded module. C_Initialize is once for a process.
struct Module {
    /// Every call reads; to initialise it anew, nobody may be inside.
    context: RwLock<Pkcs11>,
    starts: AtomicUsize,
}

/// Counts one call for as long as it lasts.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl TokenKey {
    /// Loads the module; the token itself is first looked for when something is signed.
    pub(crate) fn new(place: TokenPlace, kind: TokenKind) -> Result<TokenKey, TokenError> {
        let module = module(&place.module)?;
        let (idle, calls, refused) = Default::default();
        Ok(TokenKey { place, kind, module, idle, calls, refused })
    }

    pub(crate) fn place(&self) -> &TokenPlace {
        &self.place
    }

    /// Signs octets with SHA-256: PKCS #1 v1.5 (CKM_SHA256_RSA_PKCS) or ECDSA (CKM_ECDSA, as DER).
    pub(crate) fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, TokenError> {
        let _inside = self.enter()?;
        let first = match self.kept() {
            Some(opened) => self.sign_with(opened, octets),
            None => self.open().and_then(|opened| self.sign_with(opened, octets)),
        };
        match first {
            Err(TokenError::Away(_)) => {}
            ended => return ended,
        }
        // The token was out, or the module restarted: the other sessions are as lost as this one. Once more, from the
        // login on.
        while self.kept().is_some() {}
        match self.open().and_then(|opened| self.sign_with(opened, octets)) {
            Err(TokenError::Away(_)) if self.module.restart() => {
                self.open().and_then(|opened| self.sign_with(opened, octets))
            }
            ended => ended,
        }
    }

    /// A session of before; what is from another start of the module has a number that may be somebody else's by now, so
    /// that it must not even be closed.
    fn kept(&self) -> Option<Opened> {
        loop {
            let opened = lock(&self.idle).pop()?;
            if opened.start == self.module.starts.load(Ordering::Acquire) {
                return Some(opened);
            }
            std::mem::forget(opened);
        }
    }

    fn enter(&self) -> Result<Inside<'_>, TokenError> {
        let before = self.calls.fetch_add(1, Ordering::AcqRel);
        let inside = Inside(&self.calls);
        if before >= CALLS_MAX {
            return Err(TokenError::Away(format!("{}: {CALLS_MAX} calls have not come back", self.place)));
        }
        Ok(inside)
    }

    fn sign_with(&self, opened: Opened, octets: &[u8]) -> Result<Vec<u8>, TokenError> {
        let _reading = self.module.context.read().unwrap_or_else(PoisonError::into_inner);
        let signature = match self.kind {
            TokenKind::Rsa => opened.session.sign(&Mechanism::Sha256RsaPkcs, opened.object, octets),
            TokenKind::Curve => {
                let digest = hash(MessageDigest::sha256(), octets).map_err(|e| TokenError::Away(e.to_string()))?;
                opened.session.sign(&Mechanism::Ecdsa, opened.object, &digest)
            }
        };
        let signature = signature.map_err(|e| self.away("cannot sign", &e))?;
        lock(&self.idle).push(opened);
        match self.kind {
            TokenKind::Rsa => Ok(signature),
            TokenKind::Curve => curve_signature(&signature).ok_or_else(|| {
                TokenError::Away(format!("{}: its signature is not two numbers of one length", self.place))
            }),
        }
    }

    /// A session, logged in, with the key found in it.
    fn open(&self) -> Result<Opened, TokenError> {
        let context = self.module.context.read().unwrap_or_else(PoisonError::into_inner);
        let slot = self.slot(&context)?;
        let session = context.open_ro_session(slot).map_err(|e| self.away("opens no session", &e))?;
        self.login(&session)?;
        let name = match &self.place.object {
            ObjectName::Label(label) => Attribute::Label(label.clone().into_bytes()),
            ObjectName::Id(id) => Attribute::Id(id.clone()),
        };
        let found = session.find_objects(&[Attribute::Class(ObjectClass::PRIVATE_KEY), name]);
        match found.map_err(|e| self.away("cannot be searched", &e))?.as_slice() {
            [object] => Ok(Opened { object: *object, session, start: self.module.starts.load(Ordering::Acquire) }),
            [] => Err(self.setting("has no private key of that name")),
            several => Err(self.setting(&format!("has {} private keys of that name", several.len()))),
        }
    }

    fn slot(&self, context: &Pkcs11) -> Result<Slot, TokenError> {
        let slots = context.get_slots_with_token().map_err(|e| self.away("is not reached", &e))?;
        let is_it = |slot: &Slot| match (&self.place.token, context.get_token_info(*slot)) {
            (TokenName::Slot(number), _) => slot.id() == *number,
            (TokenName::Label(label), Ok(info)) => info.token_initialized() && info.label().trim_end() == label,
            (TokenName::Serial(serial), Ok(info)) => info.serial_number().trim_end() == serial,
            (_, Err(_)) => false,
        };
        match slots.into_iter().filter(is_it).collect::<Vec<_>>().as_slice() {
            [slot] => Ok(*slot),
            [] => Err(TokenError::Away(format!("{} is not there", self.place))),
            several => Err(self.setting(&format!("is there {} times; name it by its serial number", several.len()))),
        }
    }

    fn login(&self, session: &Session) -> Result<(), TokenError> {
        let pin = self.pin()?;
        let digest = hash(MessageDigest::sha256(), pin.as_bytes()).map_err(|e| TokenError::Away(e.to_string()))?;
        let mut refused = lock(&self.refused);
        let file = self.place.pin_file.display();
        if refused.as_deref() == Some(&*digest) {
            return Err(
                self.away_text(&format!("refused the PIN of {file}; it is not shown again until it is another"))
            );
        }
        match session.login(UserType::User, Some(&AuthPin::from(pin))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {
                *refused = None;
                Ok(())
            }
            Err(error) => {
                if is_about_the_pin(&error) {
                    *refused = Some(digest.to_vec());
                    return Err(self.away(&format!("refused the PIN of {file}"), &error));
                }
                Err(self.away("does not let in", &error))
            }
        }
    }

    fn pin(&self) -> Result<String, TokenError> {
        let path = &self.place.pin_file;
        let unreadable = |error: std::io::Error| TokenError::Setting(format!("{}: {error}", path.display()));
        if !is_private(path).map_err(unreadable)? {
            return Err(TokenError::Setting(format!(
                "{0}: others may read this PIN; run: chmod 600 {0}",
                path.display()
            )));
        }
        if std::fs::metadata(path).map_err(unreadable)?.len() > PIN_OCTETS_MAX {
            return Err(TokenError::Setting(format!("{}: too long for a PIN", path.display())));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }

    fn away(&self, what: &str, error: &Error) -> TokenError {
        self.away_text(&format!("{what} ({error})"))
    }

    fn away_text(&self, what: &str) -> TokenError {
        TokenError::Away(format!("{} {what}", self.place))
    }

    fn setting(&self, what: &str) -> TokenError {
        TokenError::Setting(format!("{} {what}", self.place))
    }
}

impl Module {
    /// Initialises the module anew, which brings back tokens that some modules only look for then. False if somebody is
    /// inside.
    fn restart(&self) -> bool {
        let Ok(context) = self.context.try_write() else { return false };
        // Where finalising fails it was finalised already.
        let _ = context.clone().finalize();
        self.starts.fetch_add(1, Ordering::AcqRel);
        initialise(&context).is_ok()
    }
}

fn initialise(context: &Pkcs11) -> Result<(), Error> {
    match context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)) {
        Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => Ok(()),
        other => other,
    }
}

/// The module of this path, loaded at most once.
fn module(path: &Path) -> Result<Arc<Module>, TokenError> {
    static MODULES: Mutex<BTreeMap<PathBuf, Arc<Module>>> = Mutex::new(BTreeMap::new());
    let mut modules = lock(&MODULES);
    if let Some(module) = modules.get(path) {
        return Ok(module.clone());
    }
    let failed =
        |error: Error| TokenError::Setting(format!("{}: not a usable PKCS #11 module: {error}", path.display()));
    let context = Pkcs11::new(path).map_err(failed)?;
    initialise(&context).map_err(failed)?;
    let module = Arc::new(Module { context: RwLock::new(context), starts: AtomicUsize::new(0) });
    modules.insert(path.to_owned(), module.clone());
    Ok(module)
}

fn is_about_the_pin(error: &Error) -> bool {
    use RvError::{PinExpired, PinIncorrect, PinInvalid, PinLenRange, PinLocked};
    matches!(error, Error::Pkcs11(PinIncorrect | PinInvalid | PinLenRange | PinExpired | PinLocked, _))
}

/// PKCS #11 §6.3.1 gives r and s, each as long as the order; CMS wants the DER of RFC 5753 §7.2.
fn curve_signature(raw: &[u8]) -> Option<Vec<u8>> {
    let (r, s) = raw.split_at_checked(raw.len() / 2)?;
    if r.is_empty() || r.len() != s.len() {
        return None;
    }
    let (r, s) = (BigNum::from_slice(r).ok()?, BigNum::from_slice(s).ok()?);
    EcdsaSig::from_private_components(r, s).ok()?.to_der().ok()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is inside is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
