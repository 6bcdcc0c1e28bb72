//! Two certified-mail providers in a folder, Alfa and Beta, that know each other only through an index of providers
//! and a route, as two real ones would.
//!
//! ```text
//! DIR/ca.pem          the authority that both trust        DIR/credentials.txt  ADDRESS PASSWORD, one a line
//! DIR/providers.ldif  the index of providers               DIR/providers.json   names and ports, for scripts
//! DIR/alfa/, DIR/beta/  sigillo.yaml, policy.yaml, keys, certificates, data
//! ```

use crate::certificates::{self, Authority};
use crate::run::{self, Problem};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// First port where nobody asks for another. High, so that no privilege is needed.
pub const BASE_PORT: u16 = 24_000;
/// Each provider has this many ports, of which it uses the first few.
const PORTS_EACH: u16 = 10;

/// One of the two.
#[derive(Clone)]
pub struct Provider {
    /// `alfa` or `beta`: the folder's name.
    pub word: &'static str,
    /// Its name in the index.
    pub name: &'static str,
    /// The user who has a mailbox there.
    pub user: &'static str,
    /// Its first port; see `Port`.
    pub base: u16,
}

/// What listens on which port, counted from the provider's first.
#[derive(Clone, Copy)]
pub enum Port {
    /// Submission, TLS from the first byte (RFC 8314).
    Submissions,
    /// Submission with STARTTLS.
    Submission,
    /// From other servers.
    Relay,
    /// IMAP, TLS from the first byte.
    Imaps,
    /// IMAP with STARTTLS.
    Imap,
    /// Metrics and health over HTTP.
    Metrics,
}

const PORTS: [(Port, &str); 6] = [
    (Port::Submissions, "submissions"),
    (Port::Submission, "submission"),
    (Port::Relay, "relay"),
    (Port::Imaps, "imaps"),
    (Port::Imap, "imap"),
    (Port::Metrics, "metrics"),
];

impl Provider {
    /// The two, with their ports from `base`.
    pub fn both(base: u16) -> [Provider; 2] {
        [
            Provider { word: "alfa", name: "Alfa PEC S.p.A.", user: "ada", base },
            Provider { word: "beta", name: "Beta PEC S.p.A.", user: "bruno", base: base + PORTS_EACH },
        ]
    }

    /// A port by what listens there.
    pub fn port(&self, port: Port) -> u16 {
        self.base + port as u16
    }

    /// Where the provider itself receives and signs.
    pub fn service_domain(&self) -> String {
        format!("{}.example", self.word)
    }

    /// Where its users have their mailboxes.
    pub fn domain(&self) -> String {
        format!("pec.{}.example", self.word)
    }

    /// The user's mailbox.
    pub fn mailbox(&self) -> String {
        format!("{}@{}", self.user, self.domain())
    }

    /// The sender of everything the provider signs.
    pub fn signer(&self) -> String {
        format!("posta-certificata@{}", self.service_domain())
    }

    /// Where other providers send their take-charge receipts (`mailReceipt` of the index).
    pub fn receipts(&self) -> String {
        format!("presa-in-carico@{}", self.service_domain())
    }

    /// Its name as a host.
    pub fn hostname(&self) -> String {
        format!("mail.{}.example", self.word)
    }

    /// Its configuration under the demo's folder.
    pub fn config(&self, dir: &Path) -> PathBuf {
        dir.join(self.word).join("sigillo.yaml")
    }
}

/// Ports of which nothing listens on any: those asked for, or the next that are free.
pub fn free_base(asked: Option<u16>) -> Result<u16, Problem> {
    let step = usize::from(PORTS_EACH) * 2;
    let first = asked.unwrap_or(BASE_PORT);
    let free = |base: u16| (base..base + PORTS_EACH * 2).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok());
    let last = if asked.is_some() { first } else { 32_000 };
    (first..=last).step_by(step).find(|base| free(*base)).ok_or_else(|| {
        Problem(format!("ports {first} to {} are taken: choose others with --base-port", last + PORTS_EACH * 2 - 1))
    })
}

/// What is in the folder already, if anything.
pub fn existing(dir: &Path) -> Result<Option<[Provider; 2]>, Problem> {
    let marker = dir.join("providers.json");
    if !marker.exists() {
        return Ok(None);
    }
    let text = run::read(&marker)?;
    let base = text.split("\"base_port\":").nth(1).and_then(|rest| rest.split([',', '\n', '}']).next());
    let base = base.and_then(|digits| digits.trim().parse().ok());
    base.map(|base| Some(Provider::both(base))).ok_or_else(|| Problem::at(marker.display(), "no base_port in it"))
}

/// Makes the keys, certificates, index and settings of both; `create_accounts` comes after, with the server's own
/// command. Refuses a folder that has them already, unless `force`.
pub fn create(dir: &Path, base: u16, force: bool) -> Result<[Provider; 2], Problem> {
    if !force && let Some(there) = made(dir).iter().find(|path| path.exists()) {
        return Err(Problem(format!("{} is there already; --force makes the providers anew", there.display())));
    }
    remove(dir)?;
    let providers = Provider::both(base);
    run::folder(dir)?;
    let authority = Authority::create(dir)?;
    for provider in &providers {
        let own = dir.join(provider.word);
        run::folder(&own)?;
        authority.signer(&own.join("provider"), provider.name, &provider.signer())?;
        authority.server(&own.join("tls"), &provider.hostname())?;
    }
    run::write(&dir.join("providers.ldif"), index(dir, &providers)?)?;
    for (provider, other) in [(&providers[0], &providers[1]), (&providers[1], &providers[0])] {
        run::write(&provider.config(dir), configuration(provider, other))?;
        run::write(&dir.join(provider.word).join("policy.yaml"), policy(provider)?)?;
    }
    Ok(providers)
}

/// What `create` and `create_accounts` make.
fn made(dir: &Path) -> Vec<PathBuf> {
    let names =
        ["alfa", "beta", "ca", "out", "outside", "ca.pem", "providers.ldif", "credentials.txt", "providers.json"];
    names.map(|name| dir.join(name)).to_vec()
}

/// Removes it, and nothing else that may lie in the folder.
fn remove(dir: &Path) -> Result<(), Problem> {
    for path in made(dir).iter().filter(|path| path.exists()) {
        let removed = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.map_err(|error| Problem::at(path.display(), error))?;
    }
    Ok(())
}

/// Domains, mailboxes and their passwords, made with the server's command; then the marker that all is there.
pub fn create_accounts(dir: &Path, providers: &[Provider; 2], sigillo: &Path) -> Result<(), Problem> {
    let mut credentials = String::new();
    for provider in providers {
        let command = || {
            let mut command = Command::new(sigillo);
            command.arg("--config").arg(provider.config(dir));
            command
        };
        for domain in [provider.domain(), provider.service_domain()] {
            run::output(command().args(["domain", "add", &domain, "--class", "certified"]))?;
        }
        for address in [provider.mailbox(), provider.signer(), provider.receipts()] {
            let password = password()?;
            run::fed(
                command().args(["mailbox", "add", &address, "--password-stdin"]),
                format!("{password}\n").as_bytes(),
            )?;
            credentials += &format!("{address} {password}\n");
        }
    }
    write_private(&dir.join("credentials.txt"), &credentials)?;
    run::write(&dir.join("providers.json"), description(providers))
}

/// Twenty letters and digits, about 100 bits.
fn password() -> Result<String, Problem> {
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = [0u8; 20];
    let random = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    random.map_err(|error| Problem::at("/dev/urandom", error))?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect())
}

fn write_private(path: &Path, text: &str) -> Result<(), Problem> {
    let file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| Problem::at(path.display(), error))
}

fn configuration(provider: &Provider, other: &Provider) -> String {
    let port = |port| provider.port(port);
    format!(
        "# {name}: one of the two providers of the demo. Every key is explained in config/sigillo.yaml.
hostname: {hostname}
data-dir: ./data
plugins-dir: ../plugins
policy: ./policy.yaml
listeners:
  - {{ protocol: submission, address: \"127.0.0.1:{submissions}\", tls: implicit }}
  - {{ protocol: submission, address: \"127.0.0.1:{submission}\", tls: starttls }}
  - {{ protocol: relay, address: \"127.0.0.1:{relay}\", tls: starttls }}
  - {{ protocol: imap, address: \"127.0.0.1:{imaps}\", tls: implicit }}
  - {{ protocol: imap, address: \"127.0.0.1:{imap}\", tls: starttls }}
metrics: {{ address: \"127.0.0.1:{metrics}\" }}
tls: {{ certificate: tls.pem, key: tls.key }}
keys:
  provider: {{ key: provider.key, certificate: provider.pem, chain: ../ca.pem }}
trust:
  anchors: ../ca.pem
  directory: ../providers.ldif
delivery:
  tls-anchors: ../ca.pem
  # Seconds; short, so that a demo in which one provider was away goes on soon after it is back.
  retry: [1, 2, 5, 10]
  routes:
    - {{ domain: {other_domain}, to: \"127.0.0.1:{other_relay}\", tls: required }}
    - {{ domain: {other_service}, to: \"127.0.0.1:{other_relay}\", tls: required }}
limits: {{ message-size: 104857600 }}
log: {{ format: text, level: info }}
",
        name = provider.name,
        hostname = provider.hostname(),
        submissions = port(Port::Submissions),
        submission = port(Port::Submission),
        relay = port(Port::Relay),
        imaps = port(Port::Imaps),
        imap = port(Port::Imap),
        metrics = port(Port::Metrics),
        other_domain = other.domain(),
        other_service = other.service_domain(),
        other_relay = other.port(Port::Relay),
    )
}

/// The shipped policy of certified mail alone, with this one's names in the place of those of the example.
fn policy(provider: &Provider) -> Result<String, Problem> {
    let shipped = run::read(&run::root().join("policies/pec-minimal.yaml"))?;
    let [example, _] = Provider::both(BASE_PORT);
    Ok(shipped.replace(&example.service_domain(), &provider.service_domain()).replace(example.name, provider.name))
}

/// The index of providers as LDIF (RFC 2849): attributes of PEC §5.6.
fn index(dir: &Path, providers: &[Provider; 2]) -> Result<String, Problem> {
    let mut ldif = String::from(
        "version: 1\n\ndn: o=postacert\nobjectclass: top\nobjectclass: organization\no: postacert\n\
         description: Index of the providers of the demo\n",
    );
    for provider in providers {
        let certificate = dir.join(provider.word).join("provider.pem");
        let lines = [
            format!("dn: providerName={},o=postacert", provider.name),
            "objectclass: top".into(),
            "objectclass: provider".into(),
            format!("providerName: {}", provider.name),
            format!("providerCertificateHash: {}", certificates::sha1(&certificate)?),
            format!("providerCertificate;binary:: {}", certificates::base64(&certificate)?),
            format!("mailReceipt: {}", provider.receipts()),
            format!("managedDomains: {}", provider.domain()),
            format!("managedDomains: {}", provider.service_domain()),
        ];
        ldif += &format!("\n{}\n", lines.map(|line| folded(&line)).join("\n"));
    }
    Ok(ldif)
}

/// RFC 2849 note 2: a long line goes on after a line end and one blank.
fn folded(line: &str) -> String {
    let mut text = String::new();
    for (count, letter) in line.chars().enumerate() {
        if count > 0 && count % 75 == 0 {
            text += "\n ";
        }
        text.push(letter);
    }
    text
}

/// Names and ports for scripts; passwords stay in `credentials.txt`.
fn description(providers: &[Provider; 2]) -> String {
    let each = providers.iter().map(|provider| {
        let ports = PORTS.map(|(port, name)| format!("\"{name}\": {}", provider.port(port))).join(", ");
        format!(
            "  \"{}\": {{ \"mailbox\": \"{}\", \"domain\": \"{}\", \"signer\": \"{}\", \"receipts\": \"{}\",\n    \"ports\": {{ {ports} }} }}",
            provider.word,
            provider.mailbox(),
            provider.domain(),
            provider.signer(),
            provider.receipts()
        )
    });
    format!("{{\n  \"base_port\": {},\n{}\n}}\n", providers[0].base, each.collect::<Vec<_>>().join(",\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_folded_and_unfolds_to_itself() {
        let line = "x".repeat(200);
        let text = folded(&line);
        assert!(text.lines().all(|line| line.len() <= 76));
        assert_eq!(text.replace("\n ", ""), line);
    }

    #[test]
    fn the_two_share_no_port() {
        let [alfa, beta] = Provider::both(BASE_PORT);
        let ports = |provider: &Provider| PORTS.map(|(port, _)| provider.port(port));
        assert!(ports(&alfa).iter().all(|port| !ports(&beta).contains(port)));
    }

    #[test]
    fn a_port_is_found_beside_one_that_is_taken() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        assert!(free_base(Some(port - port % 2)).is_err());
        assert!(free_base(None).is_ok());
    }
}
