//! A small public-key infrastructure made by the openssl command line, and messages around its signatures.
// Each test program uses its own share of this.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use base64::Engine as _;
use sigillo_mail::rope::NoSource;
use sigillo_mail::structure::Structure;
use sigillo_mail::{Rope, Source};
use sigillo_trust::{Anchors, Verification, verify};

/// The part that is signed: 8-bit octets, trailing blanks and a dot line must count as they are.
pub const CONTENT: &[u8] = b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
    Perch\xe9 no?  \r\n.\r\n\r\nultima riga\r\n";

const DAY: u64 = 86_400_000;

/// `[section]`s for the certificates of the infrastructure.
const EXTENSIONS: &str = "
[req]
distinguished_name=dn
[dn]
[root]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
[authority]
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
nameConstraints=permitted;email:alfa.example,permitted;email:beta.example
[provider]
keyUsage=critical,digitalSignature
subjectAltName=email:posta-certificata@alfa.example,email:altra@alfa.example
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
extendedKeyUsage=emailProtection
[beta]
keyUsage=critical,digitalSignature
subjectAltName=email:posta-certificata@beta.example
subjectKeyIdentifier=hash
[outside]
keyUsage=critical,digitalSignature
subjectAltName=email:posta-certificata@gamma.example
[cannot]
keyUsage=critical,keyEncipherment
subjectAltName=email:posta-certificata@alfa.example
[binding]
keyUsage=critical,nonRepudiation
subjectAltName=email:posta-certificata@alfa.example
[web]
keyUsage=critical,digitalSignature
extendedKeyUsage=serverAuth
subjectAltName=email:posta-certificata@alfa.example
[split]
keyUsage=critical,digitalSignature
subjectAltName=email:posta-certificata@alfa.example
crlDistributionPoints=URI:http://crl.example/1
[responded]
keyUsage=critical,digitalSignature
subjectAltName=email:posta-certificata@alfa.example
authorityInfoAccess=OCSP;URI:http://ocsp.example/alfa
crlDistributionPoints=URI:http://crl.example/all
[responder]
keyUsage=critical,digitalSignature
extendedKeyUsage=OCSPSigning
[critical]
keyUsage=critical,digitalSignature
subjectAltName=email:posta-certificata@alfa.example
1.2.3.4=critical,ASN1:NULL
[silent]
subjectAltName=email:posta-certificata@alfa.example
[named]
basicConstraints=critical,CA:TRUE,pathlen:0
keyUsage=critical,keyCertSign,cRLSign
subjectKeyIdentifier=hash
nameConstraints=permitted;dirName:permitted
[permitted]
C=IT
O=Beta
[partial]
2.5.29.27=critical,DER:020101
[scope1]
issuingDistributionPoint=critical,@point1
[point1]
fullname=URI:http://crl.example/1
[scope2]
issuingDistributionPoint=critical,@point2
[point2]
fullname=URI:http://crl.example/2
[ca]
default_ca=list
[list]
database=index.txt
crlnumber=crlnumber
serial=serial
default_md=sha256
default_crl_days=30
[any]
countryName=optional
organizationName=optional
commonName=optional
";

/// The tool keeps its register in files of fixed names.
static REGISTER: Mutex<()> = Mutex::new(());

/// Certificates by the authority, each with a key of 2048 bits, named like their extensions.
const SECTIONS: [&str; 11] = [
    "provider",
    "beta",
    "outside",
    "cannot",
    "binding",
    "web",
    "split",
    "responded",
    "responder",
    "critical",
    "silent",
];

pub struct Pki {
    pub dir: PathBuf,
}

/// The infrastructure, made once per test process.
pub fn pki() -> &'static Pki {
    static PKI: OnceLock<Pki> = OnceLock::new();
    PKI.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"));
        let _ = std::fs::remove_dir_all(&dir);
        std::fs::create_dir_all(&dir).unwrap();
        let pki = Pki { dir };
        std::fs::write(pki.dir.join("x.cnf"), EXTENSIONS).unwrap();
        std::fs::write(pki.dir.join("content"), CONTENT).unwrap();
        for name in ["root", "stranger"] {
            pki.key(name, "rsa:2048");
            pki.run(&format!(
                "req -x509 -key {name}.key -subj /CN={name} -days 30 -out {name}.pem -config x.cnf -extensions root"
            ));
        }
        pki.certificate("authority", "rsa:2048", "root", "authority");
        for section in SECTIONS {
            pki.certificate(section, "rsa:2048", "authority", section);
        }
        pki.certificate("named", "rsa:2048", "root", "named");
        pki.certificate("misnamed", "rsa:2048", "named", "provider");
        pki.certificate("curve", "ec", "authority", "provider");
        pki.certificate("short", "rsa:1024", "authority", "provider");
        pki.certificate("forged", "rsa:2048", "stranger", "provider");
        pki
    })
}

impl Pki {
    /// Runs `openssl` with these words in the directory.
    pub fn run(&self, words: &str) -> String {
        let (ok, text) = self.try_run(words);
        assert!(ok, "openssl {words}: {text}");
        text
    }

    pub fn try_run(&self, words: &str) -> (bool, String) {
        let done = Command::new("openssl").args(words.split_whitespace()).current_dir(&self.dir).output().unwrap();
        (done.status.success(), String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned())
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn key(&self, name: &str, kind: &str) {
        match kind.split_once(':') {
            Some((_, bits)) => self.run(&format!("genrsa -out {name}.key {bits}")),
            None => self.run(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key")),
        };
    }

    fn certificate(&self, name: &str, kind: &str, issuer: &str, section: &str) {
        self.key(name, kind);
        self.run(&format!("req -new -key {name}.key -subj /C=IT/O=Alfa/CN={name} -out {name}.csr -config x.cnf"));
        self.run(&format!(
            "x509 -req -in {name}.csr -CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial -days 20 -out {name}.pem \
             -extfile x.cnf -extensions {section}"
        ));
    }

    /// A certificate for the key of `of`, valid between two instants (`YYYYMMDDHHMMSSZ`), PEM.
    pub fn certificate_between(&self, of: &str, name: &str, from: &str, to: &str) -> Vec<u8> {
        let _register = REGISTER.lock().unwrap();
        std::fs::write(self.dir.join("index.txt"), "").unwrap();
        std::fs::create_dir_all(self.dir.join("new")).unwrap();
        self.run(&format!("req -new -key {of}.key -subj /C=IT/O=Alfa/CN={name} -out {name}.csr -config x.cnf"));
        self.run(&format!(
            "ca -batch -notext -config x.cnf -cert authority.pem -keyfile authority.key -in {name}.csr -out {name}.pem \
             -rand_serial -outdir new -policy any -extfile x.cnf -extensions {of} -startdate {from} -enddate {to}"
        ));
        self.read(&format!("{name}.pem"))
    }

    /// A CMS signature over [`CONTENT`] by the command line, with more options.
    pub fn sign(&self, out: &str, options: &str) -> Vec<u8> {
        self.run(&format!("cms -sign -binary -in content -outform DER -out {out} {options}"));
        self.read(out)
    }

    /// The revocation list of an authority, PEM, after revoking `revoked`.
    pub fn revocation_list(&self, authority: &str, revoked: &[&str], options: &str) -> Vec<u8> {
        self.numbered_list(authority, revoked, "01", options)
    }

    /// The same with a number.
    pub fn numbered_list(&self, authority: &str, revoked: &[&str], number: &str, options: &str) -> Vec<u8> {
        let _register = REGISTER.lock().unwrap();
        std::fs::write(self.dir.join("index.txt"), "").unwrap();
        std::fs::write(self.dir.join("crlnumber"), format!("{number}\n")).unwrap();
        let by = format!("-config x.cnf -cert {authority}.pem -keyfile {authority}.key");
        for name in revoked {
            self.run(&format!("ca {by} -revoke {name}.pem"));
        }
        self.run(&format!("ca {by} -gencrl -out list.pem {options}"));
        self.read("list.pem")
    }

    /// A list of the authority with so many revoked numbers that belong to nobody, PEM.
    pub fn long_list(&self, entries: usize) -> Vec<u8> {
        let _register = REGISTER.lock().unwrap();
        let line = |n: usize| format!("R\t301231000000Z\t260101000000Z\t{:016X}\tunknown\t/CN=x\n", n + (1 << 40));
        std::fs::write(self.dir.join("index.txt"), (0..entries).map(line).collect::<String>()).unwrap();
        std::fs::write(self.dir.join("crlnumber"), "07\n").unwrap();
        self.run("ca -config x.cnf -cert authority.pem -keyfile authority.key -gencrl -out long.pem");
        self.read("long.pem")
    }

    /// The answer of a responder (DER) to a question, when these certificates of the authority are good and revoked.
    pub fn responder(&self, request: &[u8], good: &[&str], revoked: &[&str], options: &str) -> Vec<u8> {
        let _register = REGISTER.lock().unwrap();
        std::fs::write(self.dir.join("index.txt"), "").unwrap();
        std::fs::write(self.dir.join("question.der"), request).unwrap();
        let by = "-config x.cnf -cert authority.pem -keyfile authority.key";
        good.iter().for_each(|name| drop(self.run(&format!("ca {by} -valid {name}.pem"))));
        revoked.iter().for_each(|name| drop(self.run(&format!("ca {by} -revoke {name}.pem"))));
        self.run(&format!("ocsp -index index.txt -CA authority.pem -reqin question.der -respout answer.der {options}"));
        self.read("answer.der")
    }

    pub fn anchors(&self) -> Anchors {
        Anchors::load(&self.read("root.pem")).unwrap()
    }
}

/// Now, milliseconds since 1970.
pub fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64
}

/// So many days from now.
pub fn in_days(days: u64) -> u64 {
    now() + days * DAY
}

/// A signed message: the part as it is, the signature in base64.
pub fn message(content: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut out = b"From: posta-certificata@alfa.example\r\nMIME-Version: 1.0\r\nContent-Type: multipart/signed; \
        protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=\"=_x\"\r\n\r\nThis is signed\r\n--=_x\r\n"
        .to_vec();
    out.extend_from_slice(content);
    out.extend_from_slice(
        b"\r\n--=_x\r\nContent-Type: application/pkcs7-signature; name=smime.p7s\r\n\
        Content-Transfer-Encoding: base64\r\n\r\n",
    );
    for line in base64::engine::general_purpose::STANDARD.encode(signature).as_bytes().chunks(64) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"--=_x--\r\n");
    out
}

/// So many days from now, as the tool wants instants.
pub fn moment(days: i64) -> String {
    let at = jiff::Timestamp::from_millisecond(now() as i64 + days * 86_400_000).unwrap();
    at.strftime("%Y%m%d%H%M%SZ").to_string()
}

/// The three facts in three letters: present, intact, trusted.
pub fn facts(found: &Verification) -> String {
    [(found.present, 'p'), (found.intact, 'i'), (found.trusted, 't')]
        .map(|(holds, letter)| if holds { letter } else { '-' })
        .iter()
        .collect()
}

/// A signature rewritten with indefinite lengths (X.690 §8.1.3.6), as providers' libraries write it, except in certificates and
/// signed attributes, which must be DER (RFC 5652 §5.3). OpenSSL's tool only does so with the content embedded.
pub fn indefinite(mut der: &[u8], depth: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while let [tag, first, ..] = *der {
        let (mut length, mut from) = (first as usize, 2);
        if first > 0x80 {
            from += first as usize & 0x7f;
            length = der[2..from].iter().fold(0, |n, b| n << 8 | *b as usize);
        }
        let content = &der[from..from + length];
        let must_be_der = depth >= 3 && tag == 0xa0;
        match tag {
            _ if must_be_der && depth == 3 => out.extend([&[tag, 0x80], content, &[0, 0]].concat()),
            _ if must_be_der => out.extend(&der[..from + length]),
            0x20.. if tag & 0x20 != 0 => {
                out.extend([&[tag, 0x80], &indefinite(content, depth + 1)[..], &[0, 0]].concat())
            }
            // The signature, split in two (X.690 §8.7.3).
            0x04 if length > 200 => {
                let halves = content.chunks(length / 2).flat_map(|half| [&[4, 0x81, half.len() as u8], half].concat());
                out.extend([&[0x24, 0x80][..], &halves.collect::<Vec<u8>>(), &[0, 0]].concat());
            }
            _ => out.extend(&der[..from + length]),
        }
        der = &der[from + length..];
    }
    out
}

pub fn verify_message(message: &[u8], anchors: &Anchors, at: u64) -> Verification {
    verify_rope(&Rope::from_bytes(message.to_vec()), &NoSource, anchors, at)
}

pub fn verify_rope(rope: &Rope, source: &dyn Source, anchors: &Anchors, at: u64) -> Verification {
    verify(rope, &Structure::parse(rope, source).unwrap(), source, anchors, at)
}
