"""What cannot be delivered or accepted is told to the sender by a signed notice; ordinary mail comes as an anomaly."""

import harness


def notice(pair, sent, value):
    """The notice of this kind about a message, verified."""
    ada = pair.alfa.inbox()
    content = ada.get(x_ricevuta=value, x_riferimento_message_id=harness.id_of(sent))
    ada.close()
    harness.verify_signature(content, pair.folder / "ca.pem", pair.folder)
    xml = harness.part_bytes(content, "daticert.xml")
    harness.valid_daticert(xml, pair.folder)
    return content, xml


def undeliverable(pair, recipient, text, reason, what):
    sent = harness.message(pair.alfa.mailbox, recipient, text=text)
    pair.alfa.submit(sent, [recipient])
    content, xml = notice(pair, sent, "errore-consegna")
    subject = harness.header_of(content)["Subject"]
    harness.check(subject.startswith("AVVISO DI MANCATA CONSEGNA: "), f"{what}: a notice of non-delivery")
    harness.check(f'errore="{reason}"'.encode() in xml, f'{what}: errore="{reason}"')
    harness.check(f"<consegna>{recipient}</consegna>".encode() in xml, f"{what}: names the recipient")
    harness.check(b"<errore-esteso>5." in xml, f"{what}: a code of RFC 3463")


def ordinary(pair):
    sent = harness.message("mario@ordinaria.example", pair.alfa.mailbox, subject="Saluti", text="Ciao \r\n.\r\n")
    pair.alfa.relay(sent, "mario@ordinaria.example", [pair.alfa.mailbox])
    ada = pair.alfa.inbox()
    content = ada.get(x_trasporto="errore", message_id=harness.id_of(sent))
    ada.close()
    harness.verify_signature(content, pair.folder / "ca.pem", pair.folder)
    header = harness.header_of(content)
    harness.equal(header["Subject"], "ANOMALIA MESSAGGIO: Saluti", "ordinary mail comes as an anomaly envelope")
    harness.check("Per conto di: mario@ordinaria.example" in header["From"], "on behalf of its sender")
    harness.check(b"daticert.xml" not in content, "without certification data")
    whole = harness.part_bytes(content, "postacert.eml")
    harness.equal(harness.sha256(whole), harness.sha256(sent), "with the whole message as it came, byte for byte")


def not_accepted(pair):
    sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox, headers=["Bcc: nascosto@pec.beta.example"])
    pair.alfa.submit(sent, [pair.beta.mailbox])
    content, xml = notice(pair, sent, "non-accettazione")
    subject = harness.header_of(content)["Subject"]
    harness.check(subject.startswith("AVVISO DI NON ACCETTAZIONE: "), "a blind copy: a notice of non-acceptance")
    harness.check(b'tipo="non-accettazione" errore="altro"' in xml, "says so in its data")
    harness.check(b"postacert.eml" not in content, "and does not carry the message")
    ada, bruno = pair.alfa.inbox(), pair.beta.inbox()
    about = {"x_riferimento_message_id": harness.id_of(sent)}
    harness.equal(ada.find(x_ricevuta="accettazione", **about), [], "no acceptance receipt")
    harness.equal(bruno.find(**about), [], "nothing was sent")
    ada.close()
    bruno.close()


def journey():
    with harness.Pair(start=False) as pair:
        full = pair.beta.add_mailbox("piena@pec.beta.example", quota=20_000)
        pair.alfa.start()
        pair.beta.start()
        undeliverable(pair, "nessuno@pec.beta.example", "x\r\n", "no-dest", "unknown mailbox")
        ordinary(pair)
        not_accepted(pair)
        undeliverable(pair, full, ("z" * 76 + "\r\n") * 600, "altro", "full mailbox")


harness.main(journey)
