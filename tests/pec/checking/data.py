"""Certification data and texts: against the grammar, against each other, against the models of the rules."""

import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from .mail import check, equal

FOLDER = Path(__file__).resolve().parents[1]
ORDER = ["gestore-emittente", "data", "identificativo", "msgid", "ricevuta", "consegna", "ricezione", "errore-esteso"]
# Which elements each kind has beside those of all (PEC §4.4): R one, L at least one.
ELEMENTS = {
    "accettazione": {},
    "non-accettazione": {"errore-esteso": "R"},
    "posta-certificata": {"ricevuta": "R"},
    "presa-in-carico": {"ricezione": "L"},
    "rilevazione-virus": {"consegna": "R", "errore-esteso": "R"},
    "avvenuta-consegna": {"ricevuta": "R", "consegna": "R"},
    "errore-consegna": {"consegna": "R", "errore-esteso": "R"},
    "preavviso-errore-consegna": {"consegna": "R", "errore-esteso": "R"},
}
ERRORS = {
    "accettazione": ["nessuno"], "non-accettazione": ["altro", "virus"], "posta-certificata": ["nessuno"],
    "presa-in-carico": ["nessuno"], "rilevazione-virus": ["virus"], "avvenuta-consegna": ["nessuno"],
    "errore-consegna": ["no-dest", "no-dominio", "virus", "altro"], "preavviso-errore-consegna": ["nessuno", "altro"],
}


class Data:
    """`daticert.xml`, read by another parser."""

    def __init__(self, xml):
        self.xml = xml
        check(b"<!" not in xml and xml.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n'), "prologue")
        root = ElementTree.fromstring(xml)
        head, facts = root.find("intestazione"), root.find("dati")
        self.kind, self.error = root.get("tipo"), root.get("errore")
        self.sender, self.reply_to = head.findtext("mittente"), head.findtext("risposte")
        self.recipients = [(element.text, element.get("tipo")) for element in head.findall("destinatari")]
        self.subject = head.findtext("oggetto")
        self.provider, self.identifier = facts.findtext("gestore-emittente"), facts.findtext("identificativo")
        self.message_id = facts.findtext("msgid")
        moment = facts.find("data")
        self.zone, self.day, self.hour = moment.get("zona"), moment.findtext("giorno"), moment.findtext("ora")
        form = facts.find("ricevuta")
        self.form = None if form is None else form.get("tipo")
        self.delivery, self.extended = facts.findtext("consegna"), facts.findtext("errore-esteso")
        self.taken = [element.text for element in facts.findall("ricezione")]
        self.elements = [element.tag for element in facts]

    def original(self):
        """What every message of a transaction repeats (invariant A)."""
        return (self.sender, self.recipients, self.reply_to, self.subject, self.identifier, self.message_id)


def check_grammar(xml):
    """The published grammar, by xmllint."""
    words = ["xmllint", "--noout", "--nonet", "--dtdvalid", str(FOLDER / "daticert-it.dtd"), "-"]
    done = subprocess.run(words, input=xml, capture_output=True)
    check(done.returncode == 0, f"xmllint: {done.stderr.decode(errors='replace')}")


def check_elements(data):
    """The elements of the kind, in the order of the grammar, and an error that the kind may have."""
    places = [ORDER.index(name) for name in data.elements]
    equal(places, sorted(places), "order of the elements")
    wanted = ELEMENTS[data.kind]
    for name in ("ricevuta", "consegna", "ricezione", "errore-esteso"):
        count = data.elements.count(name)
        check(count == 1 if wanted.get(name) == "R" else count >= 1 if name in wanted else count == 0, f"{count} {name} in {data.kind}")
    check(data.error in ERRORS[data.kind], f"errore {data.error} in {data.kind}")


def model_of(data):
    """The model of the text, and its first line where the form of receipt changes it."""
    names = {
        "accettazione": "acceptance", "posta-certificata": "transport-envelope", "presa-in-carico": "take-charge",
        "avvenuta-consegna": "delivery",
        "non-accettazione": "virus-non-acceptance" if data.error == "virus" else "non-acceptance",
        "errore-consegna": "virus-non-delivery" if data.error == "virus" else "non-delivery",
        "rilevazione-virus": "virus-detection",
        # RFC 3463: class 4 may pass, class 5 is the end.
        "preavviso-errore-consegna": "timeout-warning" if (data.extended or "").startswith("4.") else "timeout",
    }
    titles = {"breve": "Ricevuta di avvenuta consegna breve", "sintetica": "Ricevuta sintetica di avvenuta consegna"}
    return names[data.kind], titles.get(data.form) if data.kind == "avvenuta-consegna" else None


def check_text(text, data, reasons=None):
    """The text says what the certification data say, in the words of the model."""
    name, title = model_of(data)
    lines = []
    model = (FOLDER / "models" / f"{name}.txt").read_text().splitlines()
    listed = data.taken if data.kind == "presa-in-carico" else [address for address, _ in data.recipients]
    if data.kind == "accettazione":
        words = {"certificato": "posta certificata", "esterno": "posta ordinaria"}
        listed = [f'{address} ("{words[kind]}")' for address, kind in data.recipients]
    for line in model:
        if line.startswith("[dest1]"):
            lines += listed
        elif not line.startswith("[dest2]"):
            lines.append(line)
    if title:
        lines[0] = title
    values = {
        "[data]": data.day, "[ora]": data.hour, "[zona]": data.zone, "[oggetto]": data.subject or "",
        "[mittente]": data.sender, "[dest]": data.delivery or "", "[id]": data.identifier,
        "[descrizione errore]": reasons or "", "[breve descrizione errore]": data.extended or "",
        "[identificativo del tipo di contenuto rilevato]": reasons or "",
    }
    expected = "\n".join(lines)
    for placeholder, value in values.items():
        expected = expected.replace(placeholder, value)
    # A provider may say the same in a second language below.
    first, _, second = text.strip().partition("\n\n")
    equal(first, latin1(expected), f"text of {data.kind}")
    for fact in [data.day, data.hour, data.zone, data.sender, data.identifier] if second else []:
        check(fact in second, f"{fact} is not in the second text of {data.kind}")


def latin1(text):
    """PEC §4.3.1: what ISO-8859-1 does not have is substituted."""
    return text.encode("iso-8859-1", "replace").decode("iso-8859-1")
