"""Two opinions on a signature, neither of them the server's: the `openssl` command, and Python's libraries."""

import base64
import datetime
import hashlib
import subprocess
import tempfile
from pathlib import Path

from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from .mail import check, equal


class Pki:
    """The authority and the index of the folder."""

    def __init__(self, folder):
        self.authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
        self.anchors = folder / "ca.pem"
        self.providers = read_index((folder / "providers.ldif").read_text())

    def provider_of(self, der):
        found = [provider for provider in self.providers if provider["certificate"] == der]
        check(found, "the certificate is not in the index")
        return found[0]

    def provider_of_domain(self, domain):
        found = [provider for provider in self.providers if domain.lower() in provider["domains"]]
        return found[0] if found else None


def read_index(text):
    providers = []
    for record in text.split("\n\n"):
        pairs = [line.partition(":") for line in record.splitlines() if not line.startswith("dn:")]
        values = {}
        for name, _, value in pairs:
            values.setdefault(name, []).append(value.lstrip(":").strip())
        if "providerName" not in values:
            continue
        der = base64.b64decode(values["providerCertificate;binary"][0])
        equal(hashlib.sha1(der).hexdigest(), values["providerCertificateHash"][0], "the index's own digest")
        providers.append({
            "name": values["providerName"][0], "certificate": der, "mail-receipt": values["mailReceipt"][0],
            "domains": [domain.lower() for domain in values["managedDomains"]],
        })
    return providers


def by_openssl(message, pki):
    """`openssl cms -verify` gives back exactly the bytes of the signed part."""
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "message.eml", Path(folder) / "signed"
        path.write_bytes(message)
        words = ["openssl", "cms", "-verify", "-in", path, "-CAfile", pki.anchors, "-purpose", "smimesign", "-out", out]
        done = subprocess.run([str(word) for word in words], capture_output=True)
        check(done.returncode == 0, f"openssl: {done.stderr.decode(errors='replace')}")
        return out.read_bytes()


def by_libraries(entity, pki, instant):
    """RFC 5652 §5.4, §5.6 and RFC 8551 §3.5.3, step by step; returns the provider that signed."""
    signed, part = entity.children
    der = base64.b64decode(part.body)
    info = cms.ContentInfo.load(der, strict=True)
    equal(info["content_type"].native, "signed_data", "content type")
    data = info["content"]
    check(data["encap_content_info"]["content"].native is None, "the signature is not detached")
    equal(len(data["signer_infos"]), 1, "signers")
    signer = data["signer_infos"][0]
    equal(signer["digest_algorithm"]["algorithm"].native, "sha256", "digest algorithm")
    equal(entity.parsed.get_param("micalg"), "sha-256", "micalg")
    attributes = {attribute["type"].native: attribute["values"] for attribute in signer["signed_attrs"]}
    equal(attributes["message_digest"][0].native, hashlib.sha256(signed.content).digest(), "digest of the signed part")
    equal(attributes["content_type"][0].native, "data", "content-type attribute")
    equal(attributes["signing_time"][0].native, instant, "signing-time attribute")
    certificates = [x509.load_der_x509_certificate(choice.chosen.dump()) for choice in data["certificates"]]
    serial, issuer = signer["sid"].chosen["serial_number"].native, signer["sid"].chosen["issuer"].dump()
    own = [c for c in certificates if c.serial_number == serial and c.issuer.public_bytes() == issuer]
    check(own, "the signer's certificate is not embedded")
    covered = signer["signed_attrs"].untag().dump()
    own[0].public_key().verify(signer["signature"].native, covered, padding.PKCS1v15(), hashes.SHA256())
    check_profile(own[0], pki, instant)
    return pki.provider_of(own[0].public_bytes(serialization.Encoding.DER)), own[0]


def check_profile(certificate, pki, instant):
    """PEC §5.5: issued by the authority, within its time, for signatures, no basicConstraints."""
    equal(certificate.issuer, pki.authority.subject, "issuer")
    algorithm = certificate.signature_hash_algorithm
    pki.authority.public_key().verify(certificate.signature, certificate.tbs_certificate_bytes, padding.PKCS1v15(), algorithm)
    begins, ends = (t.replace(tzinfo=datetime.timezone.utc) for t in (certificate.not_valid_before, certificate.not_valid_after))
    check(begins <= instant <= ends, "out of its time")
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
    check(usage.critical and usage.value.digital_signature, "keyUsage")
    classes = [type(extension.value) for extension in certificate.extensions]
    check(x509.BasicConstraints not in classes, "basicConstraints")
    check(x509.SubjectKeyIdentifier in classes and x509.AuthorityKeyIdentifier in classes, "key identifiers")


def names(certificate):
    """The rfc822 names of a certificate."""
    extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return extension.value.get_values_for_type(x509.RFC822Name)
