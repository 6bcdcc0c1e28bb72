"""Makes the keys and certificates of the golden sets and their index of providers. They are for tests only.

    make.py

Keys that exist stay: with new ones every signature of every set changes. The certificates are good from 2020 to 2049,
so that the sets do not grow old.
"""

import base64
import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = Path(__file__).resolve().parent
BEGINS, ENDS = datetime.datetime(2020, 1, 1), datetime.datetime(2049, 12, 31)
# word, name in the index, whether the index lists it
PROVIDERS = [
    ("alfa", "Alfa PEC S.p.A.", True),
    ("beta", "Beta PEC S.p.A.", True),
    ("gamma", "Gamma PEC S.r.l.", True),
    # Signed by the authority and not a provider.
    ("nobody", "Nessun Gestore", False),
]
WARNING = "FOR TESTS ONLY: this key is public. Nothing real may ever trust it.\n"


def key(word):
    path = HERE / f"{word}.key"
    if not path.exists():
        made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = made.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        path.write_text(WARNING + pem.decode())
    return serialization.load_pem_private_key(path.read_bytes(), None)


def name(organisation, common):
    return x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "IT"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
        x509.NameAttribute(NameOID.COMMON_NAME, common),
    ])


def certificate(subject, public, issuer, signer, serial, extensions):
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(public)
    builder = builder.serial_number(serial).not_valid_before(BEGINS).not_valid_after(ENDS)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    return builder.sign(signer, hashes.SHA256())


def usage(**set_bits):
    names = ["digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
             "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"]
    return x509.KeyUsage(**{bit: set_bits.get(bit, False) for bit in names})


def authority():
    own, subject = key("ca"), name("Prove automatiche", "FOR TESTS ONLY - autorita di prova")
    extensions = [(x509.BasicConstraints(True, None), True), (usage(key_cert_sign=True, crl_sign=True), True)]
    return own, certificate(subject, own.public_key(), subject, own, 1, extensions)


def signer(word, organisation, issuer, issuer_key, serial):
    """PEC §5.5: critical keyUsage with digitalSignature, the address as a name, both key identifiers, no basicConstraints."""
    public = key(word).public_key()
    address = x509.SubjectAlternativeName([x509.RFC822Name(f"posta-certificata@{word}.example")])
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    protection = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
    extensions = [(usage(digital_signature=True), True), (protection, False), (address, False), (identifier, False)]
    return certificate(name(organisation, "Posta Certificata"), public, issuer.subject, issuer_key, serial, extensions)


def write(word, made):
    path = HERE / f"{word}.pem"
    if not path.exists():
        path.write_text(WARNING + made.public_bytes(serialization.Encoding.PEM).decode())
    return x509.load_pem_x509_certificate(path.read_bytes())


def entry(word, provider, made):
    der = made.public_bytes(serialization.Encoding.DER)
    sha1 = made.fingerprint(hashes.SHA1()).hex()
    return "\n".join([
        f"dn: providerName={provider},o=postacert", "objectClass: top", "objectClass: provider",
        f"providerName: {provider}", f"providerCertificateHash: {sha1}",
        f"providerCertificate;binary:: {base64.b64encode(der).decode()}",
        f"mailReceipt: presa-in-carico@{word}.example", f"managedDomains: {word}.example",
        f"managedDomains: pec.{word}.example", "",
    ])


def main():
    authority_key, made = authority()
    made = write("ca", made)
    index = ["version: 1", "", "dn: o=postacert", "objectClass: top", "objectClass: organization", "o: postacert", ""]
    for number, (word, provider, listed) in enumerate(PROVIDERS, 2):
        own = write(word, signer(word, provider, made, authority_key, number))
        if listed:
            index += [entry(word, provider, own)]
    (HERE / "providers.ldif").write_text("\n".join(index))


main()
