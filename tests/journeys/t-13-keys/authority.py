"""The demo's authority, put to work for certificates that the demo has none of: other keys, other times, revoked."""

import base64
import os
import subprocess
from datetime import datetime, timedelta, timezone

import harness

PROFILES = """
[ca]
default_ca=authority
[authority]
database=index.txt
serial=serial
crlnumber=crlnumber
new_certs_dir=.
certificate=../ca.pem
private_key=ca.key
default_md=sha256
policy=any
unique_subject=no
[any]
countryName=optional
organizationName=optional
commonName=optional
[signer]
keyUsage=critical,digitalSignature
extendedKeyUsage=emailProtection
subjectAltName=email:{address}
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
{more}
[responder]
keyUsage=critical,digitalSignature
extendedKeyUsage=OCSPSigning
"""


def moment(days):
    return (datetime.now(timezone.utc) + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ")


class Authority:
    """`openssl ca` in the folder of the demo's authority."""

    def __init__(self, pair):
        self.pair, self.folder = pair, pair.folder / "ca"
        (self.folder / "index.txt").touch()
        (self.folder / "crlnumber").write_text("01\n")
        (self.folder / "serial").write_text("A0\n")

    def openssl(self, *words, **more):
        return harness.run("openssl", *words, cwd=self.folder, **more)

    def profiles(self, provider, more=""):
        path = self.folder / "more.cnf"
        path.write_text(PROFILES.format(address=provider.signer, more=more))
        return path, f"/C=IT/O={provider.word.title()} PEC S.p.A./CN=Posta Certificata"

    def certify(self, key, out, provider, days=(-1, 365), more="", profile="signer"):
        """A certificate for the key of a file, valid from and to so many days from now."""
        config, subject = self.profiles(provider, more)
        self.openssl("req", "-new", "-key", key, "-subj", subject, "-config", "profiles.cnf", "-out", "request.pem",
                     env={**os.environ, "NAMES": "unused"})
        self.openssl("ca", "-batch", "-notext", "-config", config, "-in", "request.pem", "-out", out,
                     "-extfile", config, "-extensions", profile, "-startdate", moment(days[0]), "-enddate", moment(days[1]))
        return out

    def certify_public(self, public, out, provider):
        """A certificate for a public key whose private key nobody has: it is in a token."""
        config, subject = self.profiles(provider)
        self.openssl("x509", "-new", "-force_pubkey", public, "-subj", subject, "-CA", "../ca.pem", "-CAkey", "ca.key",
                     "-days", "365", "-extfile", config, "-extensions", "signer", "-out", out)
        return out

    def issue(self, stem, provider, **more):
        """A new key in a file, with its certificate."""
        self.openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", f"{stem}.key")
        return self.certify(f"{stem}.key", f"{stem}.pem", provider, **more)

    def revoke(self, certificate):
        self.openssl("ca", "-config", self.folder / "more.cnf", "-revoke", certificate)

    def list(self, out, last=-1, following=1):
        """The revocation list as it stands, DER, good from and until so many days from now."""
        self.openssl("ca", "-config", self.folder / "more.cnf", "-gencrl", "-out", "list.pem",
                     "-crl_lastupdate", moment(last), "-crl_nextupdate", moment(following))
        self.openssl("crl", "-in", "list.pem", "-outform", "DER", "-out", out)


def serial(certificate):
    return harness.run("openssl", "x509", "-in", certificate, "-noout", "-serial").decode().strip().split("=")[1].lower()


def fingerprint(certificate):
    text = harness.run("openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha1").decode()
    return text.strip().split("=")[1].replace(":", "").lower()


def into_index(pair, provider, certificate):
    """One more certificate of a provider in the index that both read."""
    path = pair.folder / "providers.ldif"
    der = base64.b64encode(harness.run("openssl", "x509", "-in", certificate, "-outform", "DER")).decode()
    text = path.read_text().replace("\n ", "")
    name = f"providerName: {provider.word.title()} PEC S.p.A.\n"
    lines = f"providerCertificateHash: {fingerprint(certificate)}\nproviderCertificate;binary:: {der}\n"
    if text.count(name) != 1:
        raise harness.Failure(f"{name!r} is not once in the index")
    path.write_text(text.replace(name, name + lines))


def configure(server, old, new):
    """Changes a piece of a server's configuration."""
    text = server.config.read_text()
    if old not in text:
        raise harness.Failure(f"{old!r} is not in {server.config}")
    server.config.write_text(text.replace(old, new))


def signer(pair, content):
    """Serial number of the certificate under a message, and what it signed."""
    path, out = pair.folder / "signed.eml", pair.folder / "signer.pem"
    path.write_bytes(content)
    signed = harness.run("openssl", "cms", "-verify", "-in", path, "-CAfile", pair.folder / "ca.pem", "-signer", out)
    return serial(out), signed


def status(server, *words):
    """Exit code and output of a command."""
    command = [harness.SIGILLO, "--config", server.config, *words]
    done = subprocess.run([str(word) for word in command], capture_output=True)
    return done.returncode, (done.stdout + done.stderr).decode()
