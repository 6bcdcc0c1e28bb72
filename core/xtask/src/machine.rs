//! What the machine must have, and its installation where it lacks.

use crate::run::{self, Problem};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A program (found in `PATH`) or a file (a path that begins with `/`), and the Debian package that brings it.
pub type Need = (&'static str, &'static str);

/// To compile the server.
pub const BUILD: &[Need] = &[("cc", "gcc"), ("pkg-config", "pkg-config"), ("/usr/include/openssl/ssl.h", "libssl-dev")];

/// To create the demo's providers and look at what comes out.
pub const DEMO: &[Need] =
    &[("python3", "python3"), ("openssl", "openssl"), ("xmllint", "libxml2-utils"), ("curl", "curl")];

/// The outside systems of the whole service.
pub const SERVICE: &[Need] = &[("clamd", "clamav-daemon")];

/// The clients and tools that the journeys use beside those of the demo.
pub const JOURNEYS: &[Need] = &[
    ("swaks", "swaks"),
    ("faketime", "faketime"),
    ("/usr/share/doc/libnet-ssleay-perl", "libnet-ssleay-perl"),
    ("msmtp", "msmtp"),
    ("mbsync", "isync"),
    ("sqlite3", "sqlite3"),
    ("softhsm2-util", "softhsm2"),
    ("pkcs11-tool", "opensc"),
    ("clamd", "clamav-daemon"),
    ("c-icap", "c-icap"),
    ("/usr/share/doc/libc-icap-mod-virus-scan", "libc-icap-mod-virus-scan"),
    ("rspamd", "rspamd"),
    ("spamd", "spamd"),
    ("/usr/lib/dovecot/imap", "dovecot-imapd"),
    ("slapd", "slapd"),
    ("/usr/sbin/bearerbox", "kannel"),
    ("stunnel4", "stunnel4"),
    ("dnsmasq", "dnsmasq-base"),
    ("sshd", "openssh-server"),
    ("nginx", "nginx"),
    // Libraries that Debian has not in the wanted version are installed by pip, into folders of their own.
    ("/usr/share/doc/python3-venv", "python3-venv"),
    ("ldapmodify", "ldap-utils"),
    ("/usr/lib/python3/dist-packages/cryptography", "python3-cryptography"),
    ("/usr/lib/python3/dist-packages/asn1crypto", "python3-asn1crypto"),
];

/// The other server of the comparison, and its load generator.
pub const COMPARE: &[Need] = &[("postfix", "postfix"), ("smtp-source", "postfix")];

/// What the whole policy is compared with.
pub const COST: &[Need] = &[("rspamd", "rspamd")];

/// The compiler that builds guests where the usual one has no target for them.
pub const GUESTS: &[Need] = &[
    ("/usr/bin/rustc", "rustc-web"),
    ("/usr/bin/cargo", "cargo-web"),
    ("/usr/lib/rustlib/src/rust/library/std/src/lib.rs", "rust-web-src"),
];

/// What package managers read to learn whether a freshly installed service may be started.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs whatever of `needs` is not there.
pub fn ensure(needs: &[Need]) -> Result<(), Problem> {
    let missing: Vec<&str> = needs.iter().filter(|need| !present(need.0)).map(|need| need.1).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if find("apt-get").is_none() {
        return Err(Problem(format!(
            "this machine lacks {list} (names of Debian packages) and has no apt-get: install them"
        )));
    }
    if std::fs::metadata("/proc/self").map_or(true, |me| me.uid() != 0) {
        return Err(Problem(format!("this machine lacks some packages; run: sudo apt-get install {list}")));
    }
    println!("installing {list}");
    install(&missing)?;
    match needs.iter().find(|need| !present(need.0)) {
        Some(need) => Err(Problem(format!("{} is still not there after installing {}", need.0, need.1))),
        None => Ok(()),
    }
}

/// The formatter and the linter, which a minimal Rust lacks.
pub fn ensure_rust_tools() -> Result<(), Problem> {
    for (word, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if run::output(run::cargo().args([word, "--version"])).is_err() {
            println!("installing {component}");
            run::output(Command::new("rustup").args(["component", "add", component]))?;
        }
    }
    Ok(())
}

fn present(what: &str) -> bool {
    if what.starts_with('/') { Path::new(what).exists() } else { find(what).is_some() }
}

/// A program in `PATH`, or where Debian keeps those of the administrator.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")]);
    folders.map(|folder| folder.join(program)).find(|file| file.is_file())
}

fn install(packages: &[&str]) -> Result<(), Problem> {
    let guard = NoDaemons::hold()?;
    let mut update = apt();
    run::output(update.args(["update", "-qq"]))?;
    // Their installation would ask what to be, and then configure itself as a service of the machine.
    for (package, answer) in [
        ("postfix", &b"postfix postfix/main_mailer_type select No configuration\n"[..]),
        ("slapd", b"slapd slapd/no_configuration boolean true\n"),
    ] {
        if packages.contains(&package) && find("debconf-set-selections").is_some() {
            run::fed(&mut Command::new("debconf-set-selections"), answer)?;
        }
    }
    let mut install = apt();
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    let done = run::output(&mut install);
    drop(guard);
    done.map(|_| ())
}

fn apt() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=600"]);
    command
}

/// While this lives, no package that is installed starts a service.
struct NoDaemons {
    ours: bool,
}

impl NoDaemons {
    fn hold() -> Result<Self, Problem> {
        let path = Path::new(POLICY);
        if path.exists() {
            return Ok(Self { ours: false });
        }
        run::write(path, "#!/bin/sh\nexit 101\n")?;
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, mode).map_err(|error| Problem::at(POLICY, error))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoDaemons {
    fn drop(&mut self) {
        if self.ours {
            // Left behind it would only keep services from starting by themselves.
            let _ = std::fs::remove_file(POLICY);
        }
    }
}
