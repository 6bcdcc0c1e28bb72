//! Compiled plugins on disk, so that a start does not compile again.
//!
//! Compiled code is native code: whoever writes it here runs as the server. So the folder belongs to the server's own
//! user and is closed to all others, a file is taken only if its digest is the one in the sidecar beside it, and what
//! is run is what was hashed (one read, no second opening). The digest finds torn and rotten files; against other
//! users stand the folder's owner and mode. No compiled code of a plugin's author is ever taken.

use std::fs::{self, DirBuilder, OpenOptions};
use std::hash::{Hash, Hasher};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The folder of compiled code.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    /// Of the engine: version and settings of the compiler, features of the processor.
    compatibility: String,
}

impl Cache {
    /// Opens the folder, making it if it is not there.
    pub fn open(folder: &Path, engine: &Engine) -> io::Result<Cache> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let (folder_is, own) = (fs::metadata(folder)?, fs::metadata("/proc/self")?);
        if folder_is.uid() != own.uid() || folder_is.mode() & 0o077 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                format!("{} must belong to the server's user and be closed to others (mode 0700)", folder.display()),
            ));
        }
        let mut hash = StableHasher(Sha256::new());
        engine.precompile_compatibility_hash().hash(&mut hash);
        let cache = Cache { folder: folder.to_owned(), compatibility: hex(&hash.0.finalize()) };
        cache.forget_other_engines()?;
        Ok(cache)
    }

    /// Removes what another version or other settings compiled, and what a crash left half-written: nothing would
    /// ever read it again.
    fn forget_other_engines(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let stem = path.file_stem().unwrap_or_default().to_string_lossy();
            let ours = stem.ends_with(self.suffix());
            let extension = path.extension().unwrap_or_default();
            let code = extension == "cwasm" || extension == "sha256";
            if (code && !ours) || extension == "new" {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    fn suffix(&self) -> &str {
        &self.compatibility[..32]
    }

    /// The compiled component, from the folder if it is there and whole, else compiled now and put there.
    pub fn component(&self, engine: &Engine, wasm: &[u8], wasm_sha256: &str) -> wasmtime::Result<Component> {
        let path = self.folder.join(format!("{wasm_sha256}-{}.cwasm", self.suffix()));
        if let Some(component) = self.stored(engine, &path) {
            return Ok(component);
        }
        let code = engine.precompile_component(wasm)?;
        if let Err(error) = self.store(&path, &code) {
            // Slower starts, nothing worse.
            tracing::warn!(path = %path.display(), %error, "compiled plugin could not be kept");
        }
        own_code(engine, &code)
    }

    fn stored(&self, engine: &Engine, path: &Path) -> Option<Component> {
        let code = fs::read(path).ok()?;
        let sidecar = fs::read_to_string(sidecar(path)).ok()?;
        if sidecar.trim() != self.seal(path, &code) {
            tracing::warn!(path = %path.display(), "compiled plugin is damaged; compiling anew");
            return None;
        }
        own_code(engine, &code)
            .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "compiled plugin does not load"))
            .ok()
    }

    /// Binds the code to its name, so that a whole file of another plugin does not pass.
    fn seal(&self, path: &Path, code: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(path.file_name().unwrap_or_default().as_encoded_bytes());
        hash.update([0]);
        hash.update(self.compatibility.as_bytes());
        hash.update(code);
        hex(&hash.finalize())
    }

    /// The sidecar comes last: without it the code counts as absent.
    fn store(&self, path: &Path, code: &[u8]) -> io::Result<()> {
        write_whole(path, code)?;
        write_whole(&sidecar(path), self.seal(path, code).as_bytes())
    }
}

fn sidecar(path: &Path) -> PathBuf {
    path.with_extension("sha256")
}

/// Other threads may write the same file: each has its own beside it, and the last one stays.
fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let new = path.with_extension(format!("{}-{number}.new", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(bytes).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written
}

/// Loads native code that this process compiled, or that [`Cache::stored`] found to be what it once compiled.
#[allow(unsafe_code, reason = "wasmtime cannot check native code; the digest and the folder's mode do, see above")]
fn own_code(engine: &Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` is the unmodified output of `precompile_component`: either of this call's caller a moment ago,
    // or read from a folder that only this user can write and found equal to what was written. A different version
    // or configuration of wasmtime is refused by `deserialize` itself.
    unsafe { Component::deserialize(engine, code) }
}

/// SHA-256 as a [`Hasher`]: the standard one may change between versions of Rust.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|b| [b >> 4, b & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
