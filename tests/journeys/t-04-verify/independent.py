"""A second opinion on an S/MIME signature (RFC 8551 §3.5.3, RFC 5652 §5), by libraries that the server does not use.

    independent.py MESSAGE CA SIGNER

Exit status 0: a detached CMS signature over exactly the bytes of the first part, by the given certificate, which the
given authority has issued and which is within its time.
"""

import base64
import datetime
import email
import hashlib
import sys

from asn1crypto import cms
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding


def parts(message):
    """(header of the message, bytes of the signed part, bytes of the signature part), split by hand."""
    head, _, body = message.partition(b"\r\n\r\n")
    header = email.message_from_bytes(head + b"\r\n\r\n")
    assert header.get_content_type() == "multipart/signed", header.get_content_type()
    assert header.get_param("protocol") in ("application/pkcs7-signature", "application/x-pkcs7-signature")
    delimiter = b"\r\n--" + header.get_boundary().encode()
    pieces = (b"\r\n" + body).split(delimiter)
    assert len(pieces) == 4 and pieces[3].startswith(b"--"), f"{len(pieces)} pieces"
    # RFC 2046 §5.1.1: the line end before a boundary belongs to the boundary.
    signed, signature = (piece.partition(b"\r\n")[2] for piece in pieces[1:3])
    return header, signed, signature


def verify(message, authority, expected):
    header, signed, signature = parts(message)
    der = base64.b64decode(signature.partition(b"\r\n\r\n")[2])
    data = cms.ContentInfo.load(der)["content"]
    assert data["encap_content_info"]["content"].native is None, "not detached"
    assert len(data["signer_infos"]) == 1
    info = data["signer_infos"][0]
    assert info["digest_algorithm"]["algorithm"].native == "sha256"
    assert header.get_param("micalg") in ("sha-256", "sha256"), header.get_param("micalg")
    attributes = {attribute["type"].native: attribute["values"] for attribute in info["signed_attrs"]}
    assert attributes["message_digest"][0].native == hashlib.sha256(signed).digest(), "digest"
    assert attributes["content_type"][0].native == "data"
    embedded = [choice.chosen.dump() for choice in data["certificates"]]
    assert expected.public_bytes(serialization.Encoding.DER) in embedded, "the signer's certificate is not in the message"
    serial = info["sid"].chosen["serial_number"].native
    assert serial == expected.serial_number, "signed by another certificate"
    # RFC 5652 §5.4: the signature is over the attributes as a SET, not with the tag they have in the message.
    covered = info["signed_attrs"].untag().dump()
    expected.public_key().verify(info["signature"].native, covered, padding.PKCS1v15(), hashes.SHA256())
    issued = [expected.signature, expected.tbs_certificate_bytes, padding.PKCS1v15(), expected.signature_hash_algorithm]
    assert expected.issuer == authority.subject
    authority.public_key().verify(*issued)
    # Without a zone, as every version of the library has them: UTC.
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    assert expected.not_valid_before <= now <= expected.not_valid_after
    names = expected.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert email.utils.parseaddr(header["From"])[1] in names.get_values_for_type(x509.RFC822Name), "From is not the signer"


def main():
    message, authority, signer = (open(path, "rb").read() for path in sys.argv[1:4])
    verify(message, x509.load_pem_x509_certificate(authority), x509.load_pem_x509_certificate(signer))


if __name__ == "__main__":
    main()
