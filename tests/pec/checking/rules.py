"""What the rules ask of each kind of message: header, parts, certification data, original."""

import base64
import datetime
import email.utils
import hashlib
import zoneinfo

from . import brief, data as certification, signature
from .mail import Entity, addresses, check, check_wire, decoded, equal

ROME = zoneinfo.ZoneInfo("Europe/Rome")
PREFIXES = {
    "accettazione": "ACCETTAZIONE:", "non-accettazione": "AVVISO DI NON ACCETTAZIONE:",
    "posta-certificata": "POSTA CERTIFICATA:", "presa-in-carico": "PRESA IN CARICO:", "avvenuta-consegna": "CONSEGNA:",
    "errore-consegna": "AVVISO DI MANCATA CONSEGNA:", "rilevazione-virus": "PROBLEMA DI SICUREZZA:",
    "preavviso-errore-consegna": "AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO:",
}
VIRUS_PREFIXES = {"non-accettazione": "AVVISO DI NON ACCETTAZIONE PER VIRUS:", "errore-consegna": "AVVISO DI MANCATA CONSEGNA PER VIRUS:"}
WITH_ORIGINAL = ("posta-certificata", "avvenuta-consegna")


class Signed:
    """A signed message taken apart, with everything checked that holds for all of them (PEC §4.3)."""

    def __init__(self, message, step, pki):
        check_wire(message)
        self.entity = entity = Entity(message)
        self.instant = datetime.datetime.fromisoformat(step["instant"].replace("Z", "+00:00"))
        self.step, self.pki = step, pki
        check_outer(entity)
        self.mixed, self.p7s = entity.children
        equal(signature.by_openssl(message, pki), self.mixed.content, "what openssl takes for signed")
        self.provider, certificate = signature.by_libraries(entity, pki, self.instant)
        self.check_sender(certificate)
        self.parts = {part.filename(): part for part in self.mixed.children[1:]}
        equal(len(self.parts), len(self.mixed.children) - 1, "parts with a name of their own")
        self.text = text_of(self.mixed.children[0])
        self.data = self.open_data()
        self.original = self.open_original()
        self.check_date()

    def check_sender(self, certificate):
        """PEC §5.5, §7: the address is the certificate's, its domain the signer's; the signer is the server at work."""
        self.from_name, self.sender = email.utils.parseaddr(self.entity.one("From"))
        check(self.sender in signature.names(certificate), f"From {self.sender} is not a name of the certificate")
        domain = self.sender.rpartition("@")[2]
        check(domain in self.provider["domains"], "From is not under the signer's domains")
        check(self.sender == f"posta-certificata@{self.step['at']}.example", "signed by another server than the one at work")
        equal(self.entity.fields("Sender"), [], "Sender")
        for name in ("Subject", "Date", "MIME-Version", "Content-Type"):
            self.entity.one(name)

    def open_data(self):
        part = self.parts.get("daticert.xml")
        if part is None:
            return None
        check_part(part, "application/xml", "daticert.xml", "base64")
        xml = base64.b64decode(part.body, validate=False)
        certification.check_grammar(xml)
        return certification.Data(xml)

    def open_original(self):
        part = self.parts.get("postacert.eml")
        if part is None:
            return None
        check_part(part, "message/rfc822", "postacert.eml", "8bit" if not part.body.isascii() else part.encoding())
        return part.body

    def check_date(self):
        """PEC §4.1: one instant in Date, text, data and signature; legal time."""
        date = email.utils.parsedate_to_datetime(self.entity.one("Date"))
        equal(date, self.instant, "Date")
        local = self.instant.astimezone(ROME)
        equal(date.utcoffset(), local.utcoffset(), "zone of Date")
        if self.data:
            found = (self.data.day, self.data.hour, self.data.zone)
            equal(found, (local.strftime("%d/%m/%Y"), local.strftime("%H:%M:%S"), local.strftime("%z")), "instant of the data")


def check_outer(entity):
    equal(entity.type, "multipart/signed", "type")
    equal(entity.parsed.get_param("protocol"), "application/pkcs7-signature", "protocol")
    check(entity.preamble.strip() == b"This is an S/MIME signed message", "preamble")
    equal([child.type for child in entity.children], ["multipart/mixed", "application/pkcs7-signature"], "parts")
    p7s = entity.children[1]
    equal((p7s.filename(), p7s.encoding(), p7s.parsed.get_content_disposition()), ("smime.p7s", "base64", "attachment"), "p7s")


def check_part(part, kind, name, encoding):
    equal((part.type, part.parsed.get_content_disposition(), part.encoding()), (kind, "inline", encoding), f"part {name}")
    equal((part.parsed.get_param("name"), part.parsed.get_filename()), (name, name), f"names of {name}")


def text_of(part):
    """PEC §4.3.1."""
    found = (part.type, part.parsed.get_content_charset(), part.encoding(), part.parsed.get_content_disposition())
    equal(found, ("text/plain", "iso-8859-1", "quoted-printable", "inline"), "text part")
    return part.decoded_body().decode("iso-8859-1").replace("\r\n", "\n")


def check_certified(message, basis):
    """An envelope, receipt or notice. `basis` is what it must say of the original."""
    data, entity = message.data, message.entity
    check(data is not None, "no daticert.xml")
    certification.check_elements(data)
    equal(data.provider, message.provider["name"], "gestore-emittente")
    equal(data.original(), basis.original(), "data of the original")
    virus = data.error == "virus" and data.kind in VIRUS_PREFIXES
    equal(entity.fields("X-VerificaSicurezza"), ["errore"] if virus else [], "X-VerificaSicurezza")
    prefix = VIRUS_PREFIXES[data.kind] if virus else PREFIXES[data.kind]
    equal(entity.text("Subject"), " ".join(f"{prefix} {data.subject or ''}".split()), "Subject")
    check(entity.raw_fields("Subject")[0].startswith(f"Subject: {prefix.split()[0]}".encode()), "the prefix is not plain")
    equal(entity.fields("X-Riferimento-Message-ID"), [data.message_id] if data.message_id else [], "X-Riferimento-Message-ID")
    certification.check_text(message.text, data, reasons(data))
    names = {"daticert.xml"} | ({"postacert.eml"} if message.original is not None else set())
    equal(set(message.parts), names, "parts")
    check(message.original is None or data.kind in WITH_ORIGINAL, f"an original in {data.kind}")


def reasons(data):
    """What the model of a notice prints in its own words: the end of `errore-esteso`, or the threat that it names."""
    if data.error == "virus" and data.kind != "errore-consegna":
        return data.extended.partition(": ")[2]
    if data.error == "virus" or not data.extended or data.extended.count(" - ") < 2:
        return data.extended
    return data.extended.split(" - ", 2)[2]


def check_receipt(message, queued, basis):
    """PEC §2.1.1.1 and the table of kinds: header and transaction of a receipt or notice."""
    data, entity = message.data, message.entity
    check_certified(message, basis)
    equal(entity.one("X-Ricevuta"), data.kind, "X-Ricevuta")
    for absent in ("X-Trasporto", "X-TipoRicevuta", "Received", "Cc", "Reply-To"):
        equal(entity.fields(absent), [], absent)
    equal(message.from_name, "", "a display name")
    between = data.kind in ("presa-in-carico", "rilevazione-virus")
    signer = message.pki.provider_of_domain(data.sender.rpartition("@")[2])
    to = signer["mail-receipt"] if between else data.sender
    equal(entity.one("To"), to, "To")
    equal((queued["reverse-path"], queued["recipients"]), (message.sender, [to]), "transaction")
    own = entity.one("Message-ID")
    check(own != f"<{data.identifier}>" and own.endswith(f"@{message.sender.rpartition('@')[2]}>"), f"Message-ID {own}")
    equal(entity.fields("X-Mittente"), [data.sender] if data.kind == "rilevazione-virus" else [], "X-Mittente")
    concerned = [data.delivery] if data.delivery else data.taken
    listed = [address.lower() for address, _ in data.recipients]
    check(all(address.lower() in listed for address in concerned), "about somebody who is no recipient")


def check_envelope(message, given, step):
    """PEC §3.1.5, §2.1.1.2, and the byte rule of `postacert.eml`."""
    data, entity, source = message.data, message.entity, Entity(given)
    basis = original_data(source, step, message)
    check_certified(message, basis)
    equal(data.kind, "posta-certificata", "tipo")
    equal(entity.one("X-Trasporto"), "posta-certificata", "X-Trasporto")
    equal(entity.fields("X-Ricevuta"), [], "X-Ricevuta")
    equal(message.from_name, f"Per conto di: {data.sender}", "display name")
    for name in ("Received", "To", "Cc", "Return-Path"):
        equal(entity.raw_fields(name), source.raw_fields(name), f"inherited {name}")
    equal(entity.raw_fields("Reply-To"), source.raw_fields("Reply-To") or [f"Reply-To: {data.sender}\r\n".encode()], "Reply-To")
    equal(entity.one("Message-ID"), f"<{data.identifier}>", "Message-ID")
    asked = [word.lower() for word in source.fields("X-TipoRicevuta")] or ["completa"]
    form = asked[0] if asked[0] in ("completa", "breve", "sintetica") else "completa"
    equal((entity.one("X-TipoRicevuta"), data.form), (form, form), "form of receipt")
    check_byte_rule(given, message.original, data)


def original_data(source, step, message):
    """What an original says of itself, in the shape of certification data."""
    found = certification.Data(message.data.xml)
    sender, recipients = step["reverse-path"], []
    for address in step["recipients"]:
        certified = message.pki.provider_of_domain(address.rpartition("@")[2])
        pair = (address, "certificato" if certified else "esterno")
        recipients += [] if pair in recipients else [pair]
    reply = addresses(source.fields("Reply-To"))
    found.sender, found.recipients, found.reply_to = sender, recipients, reply[0] if reply else sender
    subject = source.parsed.get("Subject")
    found.subject = decoded(subject) if subject is not None else None
    found.message_id = source.text("Message-ID")
    return found


def check_byte_rule(given, postacert, data):
    """The three changes undone, the bytes are those that the access point got."""
    head, _, body = postacert.partition(b"\r\n\r\n")
    new = f"Message-ID: <{data.identifier}>\r\n".encode()
    lines = head + b"\r\n"
    check(lines.count(new) == 1, "one Message-ID, the identifier")
    client = Entity(given).raw_fields("Message-ID")
    reference = f"X-Riferimento-Message-ID: {data.message_id}\r\n".encode() if client else b""
    lines = lines.replace(new + reference, client[0] if client else b"")
    expected = given
    for older in Entity(given).raw_fields("X-Riferimento-Message-ID"):
        expected = expected.replace(older, b"", 1)
    equal(hashlib.sha256(lines + b"\r\n" + body).hexdigest(), hashlib.sha256(expected).hexdigest(), "postacert.eml")


def check_delivery(message, got):
    """PEC §3.3.2: which receipts hold the original, and in what form."""
    recipient, form = message.data.delivery, message.data.form
    envelope = Entity(got)
    named = {name: [a.lower() for a in addresses(envelope.fields(name))] for name in ("To", "Cc")}
    copy = recipient.lower() in named["Cc"] and recipient.lower() not in named["To"]
    equal(recipient, message.step["recipients"][0], "consegna")
    source = next(part.body for part in envelope.children[0].children if part.filename() == "postacert.eml")
    if copy or form == "sintetica":
        check(message.original is None, "an original in a receipt that has none")
    elif form == "breve":
        brief.check_brief(source, message.original)
    else:
        equal(hashlib.sha256(message.original).hexdigest(), hashlib.sha256(source).hexdigest(), "the original of the envelope")


def check_anomaly(message, got, step):
    """PEC §3.2.2."""
    entity, source = message.entity, Entity(got)
    equal(set(message.parts), {"postacert.eml"}, "parts of an anomaly envelope")
    equal(entity.one("X-Trasporto"), "errore", "X-Trasporto")
    for absent in ("X-Ricevuta", "X-TipoRicevuta", "X-Riferimento-Message-ID"):
        equal(entity.fields(absent), [], absent)
    equal(hashlib.sha256(message.original).hexdigest(), hashlib.sha256(got).hexdigest(), "the message as it came")
    sender = addresses(source.fields("From"))[0]
    equal(message.from_name, f"Per conto di: {sender}", "display name")
    subject = source.text("Subject") or ""
    equal(entity.text("Subject"), f"ANOMALIA MESSAGGIO: {subject}", "Subject")
    for name in ("Received", "To", "Cc", "Return-Path", "Message-ID"):
        equal(entity.raw_fields(name), source.raw_fields(name), f"inherited {name}")
    equal(entity.raw_fields("Reply-To"), source.raw_fields("Reply-To") or [f"Reply-To: {sender}\r\n".encode()], "Reply-To")
    local = message.instant.astimezone(ROME)
    lines = (certification.FOLDER / "models" / "anomaly.txt").read_text().replace("[dest1]\n[dest2]", "\n".join(step["recipients"]))
    problem = step["events"][0]["details"]["error"]
    for placeholder, value in {"[data]": local.strftime("%d/%m/%Y"), "[ora]": local.strftime("%H:%M:%S"), "[zona]": local.strftime("%z"),
                               "[oggetto]": subject, "[mittente]": sender, "[descrizione sintetica errore]": problem}.items():
        lines = lines.replace(placeholder, value)
    equal(message.text.strip().partition("\n\n")[0], certification.latin1(lines.strip()), "text")
