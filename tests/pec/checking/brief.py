"""The original of a brief receipt (PEC §3.3.2.2), derived anew from that of the envelope."""

import hashlib
import re

from .mail import Entity, check, equal

OPAQUE = ("application/pkcs7-mime", "application/x-pkcs7-mime")
SIGNATURES = ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/x-pkcs-signature")


def check_brief(original, brief):
    """Every attachment of `original` is its digest in `brief`, and nothing else is different."""
    whole, short = Entity(original), Entity(brief)
    if whole.type in OPAQUE:
        return equal(brief, original, "an opaque original stays whole")
    replaced = compare(whole, short, None)
    # Everything between the parts is the same too: put the digests' parts back and nothing is left over.
    rebuilt = brief
    for before, after in replaced:
        equal(rebuilt.count(after), 1, "a part that stands for an attachment")
        rebuilt = rebuilt.replace(after, before)
    equal(rebuilt, original, "the brief original with its attachments back")
    return len(replaced)


def compare(whole, short, parent):
    """Pairs of (attachment, what stands for it), found part by part."""
    if is_attachment(whole, parent):
        check_digest(whole, short)
        return [(whole.content, short.content)]
    if not whole.type.startswith("multipart/"):
        equal(short.content, whole.content, "a part that is no attachment")
        return []
    equal(len(short.children), len(whole.children), "parts")
    equal(short.head, whole.head, "header of a multipart")
    return [pair for a, b in zip(whole.children, short.children) for pair in compare(a, b, whole if parent is None else False)]


def is_attachment(part, parent):
    if part.type.startswith("multipart/"):
        return False
    of_a_signed_original = parent is not None and parent is not False and parent.type == "multipart/signed"
    if of_a_signed_original and part.type in SIGNATURES:
        return False
    return part.type == "message/rfc822" or part.filename() is not None


def check_digest(part, stand_in):
    equal(stand_in.type, "text/plain", "what stands for an attachment")
    equal(stand_in.body.decode(), hashlib.sha1(part.body).hexdigest(), "digest")
    check(re.fullmatch(rb"[0-9a-f]{40}", stand_in.body), "40 hexadecimal digits")
    name = part.filename()
    if name is not None:
        equal(stand_in.filename(), name + ".hash", "name")
    check((stand_in.filename() or "").endswith(".hash"), "name of the digest")
    gone = {"content-type", "content-transfer-encoding", "content-disposition", "content-md5", "content-length"}
    for field in {name.lower() for name in part.parsed.keys()} - gone:
        equal(stand_in.fields(field), part.fields(field), f"field {field} of an attachment")
