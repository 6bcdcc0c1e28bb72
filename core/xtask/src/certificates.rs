//! The demo's own certification authority, made with the `openssl` command as any operator could.

use crate::run::{self, Problem};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long the demo's certificates are good for, in days; a real signing certificate lasts about three years.
const DAYS: &str = "1095";

/// Profiles of certificates. `[signer]` is the signer of a certified-mail provider (PEC §5.5 = RFC 6109 §5.5): a
/// critical keyUsage with digitalSignature, the sender's address as a name, the two key identifiers, no
/// basicConstraints, nothing else critical.
const PROFILES: &str = "\
[req]
distinguished_name = subject
prompt = no
[subject]
CN = unused
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[signer]
keyUsage = critical,digitalSignature
extendedKeyUsage = emailProtection
subjectAltName = email:${ENV::NAMES}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
subjectAltName = ${ENV::NAMES}
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
";

/// A root that signs what the demo needs: `ca.pem`, with its key and settings in `ca/`.
pub struct Authority {
    certificate: PathBuf,
    folder: PathBuf,
}

impl Authority {
    /// Makes a new root in this folder.
    pub fn create(dir: &Path) -> Result<Self, Problem> {
        let authority = Self { certificate: dir.join("ca.pem"), folder: dir.join("ca") };
        run::folder(&authority.folder)?;
        run::write(&authority.folder.join("profiles.cnf"), PROFILES)?;
        let key = authority.folder.join("ca.key");
        generate_key(&key, "RSA:3072")?;
        let mut request = authority.openssl("req", "unused");
        request.args(["-new", "-x509", "-sha256", "-days", DAYS, "-extensions", "authority"]);
        request.args(["-subj", "/C=IT/O=Demo/CN=Demo certification authority"]);
        run::output(
            request
                .arg("-config")
                .arg(authority.profiles())
                .arg("-key")
                .arg(key)
                .arg("-out")
                .arg(&authority.certificate),
        )?;
        Ok(authority)
    }

    /// The key and certificate with which a provider signs as `address`.
    pub fn signer(&self, stem: &Path, organisation: &str, address: &str) -> Result<(), Problem> {
        let subject = format!("/C=IT/O={organisation}/CN=Posta Certificata");
        self.issue(stem, "signer", &subject, address)
    }

    /// The key and certificate of a server; also good on this machine under its loopback names.
    pub fn server(&self, stem: &Path, hostname: &str) -> Result<(), Problem> {
        let names = format!("DNS:{hostname},DNS:localhost,IP:127.0.0.1");
        self.issue(stem, "server", &format!("/C=IT/O=Demo/CN={hostname}"), &names)
    }

    /// Writes `STEM.key` and `STEM.pem`.
    fn issue(&self, stem: &Path, profile: &str, subject: &str, names: &str) -> Result<(), Problem> {
        let (key, request) = (stem.with_extension("key"), stem.with_extension("csr"));
        generate_key(&key, "RSA:2048")?;
        let mut ask = self.openssl("req", names);
        ask.args(["-new", "-sha256", "-subj", subject]).arg("-config").arg(self.profiles());
        run::output(ask.arg("-key").arg(&key).arg("-out").arg(&request))?;
        let mut sign = self.openssl("x509", names);
        sign.args(["-req", "-sha256", "-days", DAYS, "-CAcreateserial", "-extensions", profile]);
        sign.arg("-extfile").arg(self.profiles()).arg("-CA").arg(&self.certificate);
        sign.arg("-CAkey").arg(self.folder.join("ca.key")).arg("-CAserial").arg(self.folder.join("ca.srl"));
        run::output(sign.arg("-in").arg(&request).arg("-out").arg(stem.with_extension("pem")))?;
        std::fs::remove_file(&request).map_err(|error| Problem::at(request.display(), error))
    }

    fn profiles(&self) -> PathBuf {
        self.folder.join("profiles.cnf")
    }

    fn openssl(&self, verb: &str, names: &str) -> Command {
        let mut command = Command::new("openssl");
        command.arg(verb).env("NAMES", names);
        command
    }
}

fn generate_key(path: &Path, kind: &str) -> Result<(), Problem> {
    let (algorithm, bits) = kind.split_once(':').unwrap_or((kind, "2048"));
    let mut generate = Command::new("openssl");
    generate.args(["genpkey", "-algorithm", algorithm, "-pkeyopt", &format!("rsa_keygen_bits:{bits}"), "-out"]);
    run::output(generate.arg(path))?;
    // A private key is its owner's alone, and the server refuses one that is not.
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|error| Problem::at(path.display(), error))
}

/// The certificate of a PEM file in base64 of its DER, on one line.
pub fn base64(pem: &Path) -> Result<String, Problem> {
    Ok(run::read(pem)?
        .lines()
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with('-'))
        .collect())
}

/// SHA-1 of the certificate's DER in hexadecimal: not a judgement of SHA-1, the key of the index of providers
/// (PEC §5.6, `providerCertificateHash`).
pub fn sha1(pem: &Path) -> Result<String, Problem> {
    let printed =
        run::output(Command::new("openssl").args(["x509", "-noout", "-fingerprint", "-sha1", "-in"]).arg(pem))?;
    let (_, digits) = printed.trim().split_once('=').ok_or_else(|| Problem::at(pem.display(), "no fingerprint"))?;
    Ok(digits.replace(':', "").to_lowercase())
}
