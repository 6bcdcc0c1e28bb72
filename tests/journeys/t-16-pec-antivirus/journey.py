"""Certified mail and viruses, with real scanners: what is found at the sender is not accepted, what only the recipient's
provider finds is not delivered and the sender hears of it; each provider keeps what it found as it came, and nothing is
promised while a scanner is away.

Two providers under `policies/pec-minimal-antivirus.yaml`, each with a ClamAV daemon of its own; Beta's knows one virus
more than Alfa's.
"""

import json

import harness
import scanners

# What Beta's scanner alone knows.
LATER_VIRUS, LATER_NAME = "SIGILLO-TEST-VIRUS-0002", "Sigillo.Later"


def scan(provider, clamd):
    """Puts the shipped policy with a scanner, under this provider's names, in the place of the one without."""
    plain = (harness.ROOT / "policies/pec-minimal.yaml").read_text()
    scanned = (harness.ROOT / "policies/pec-minimal-antivirus.yaml").read_text()
    own = (provider.folder / "policy.yaml").read_text()
    for line, ours in zip(plain.splitlines(), own.splitlines(), strict=True):
        if line != ours:
            scanned = scanned.replace(line, ours)
    harness.check(provider.signer in scanned and "virus-check: antivirus" in scanned, f"{provider.word}: the shipped policy with a scanner")
    (provider.folder / "policy.yaml").write_text(scanned)
    with open(provider.config, "a") as config:
        config.write(f'scanners:\n  clamav: {{ protocol: clamd, address: "127.0.0.1:{clamd.port}", timeout: 20 }}\n')


def kept(provider):
    return json.loads(provider.command("quarantine", "list", "--json"))


def export(provider, record):
    file = provider.folder / f"{record['id']}.eml"
    provider.command("quarantine", "export", record["id"], file)
    return file.read_bytes()


def notice(pair, inbox, what, **wanted):
    """A signed notice in a mailbox: its bytes, header and certification data, all verified by others."""
    content = inbox.get(**wanted)
    inbox.close()
    harness.verify_signature(content, pair.folder / "ca.pem", pair.folder)
    xml = harness.part_bytes(content, "daticert.xml")
    harness.valid_daticert(xml, pair.folder)
    harness.check(b"postacert.eml" not in content, f"{what}: signed, with valid data, without the message")
    return content, harness.header_of(content), xml.decode()


def clean_mail_walks(pair):
    sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox)
    pair.alfa.submit(sent, [pair.beta.mailbox])
    ada = pair.alfa.inbox()
    for receipt in ("accettazione", "avvenuta-consegna"):
        ada.wait(x_ricevuta=receipt, x_riferimento_message_id=harness.id_of(sent))
    ada.close()
    harness.equal((kept(pair.alfa), kept(pair.beta)), ([], []), "a clean message walks as ever, nothing is kept")


def found_at_the_sender(pair):
    sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox, subject="Infetto", text=f"{scanners.VIRUS}\r\n")
    pair.alfa.submit(sent, [pair.beta.mailbox])
    about = {"x_riferimento_message_id": harness.id_of(sent)}
    _, header, xml = notice(pair, pair.alfa.inbox(), "at the sender", x_ricevuta="non-accettazione", **about)
    harness.equal(header["Subject"], "AVVISO DI NON ACCETTAZIONE PER VIRUS: Infetto", "  the notice for a virus")
    harness.equal(header["X-VerificaSicurezza"], "errore", "  with its mark")
    harness.check('tipo="non-accettazione" errore="virus"' in xml and scanners.NAME in xml, "  which names the virus")
    ada = pair.alfa.inbox()
    harness.equal(ada.find(x_ricevuta="accettazione", **about), [], "  no acceptance receipt")
    ada.close()
    record = [record for record in kept(pair.alfa) if scanners.NAME in record["reason"]]
    harness.equal(len(record), 1, "  kept in quarantine")
    harness.equal(harness.sha256(export(pair.alfa, record[0])), harness.sha256(sent), "  as it was sent (SHA-256)")
    bruno = pair.beta.inbox()
    harness.equal(bruno.find(**about), [], "  nothing reached the recipient")
    bruno.close()


def found_at_the_recipient(pair):
    sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox, subject="Tardi", text=f"{LATER_VIRUS}\r\n")
    pair.alfa.submit(sent, [pair.beta.mailbox])
    about = {"x_riferimento_message_id": harness.id_of(sent)}
    _, header, xml = notice(pair, pair.alfa.inbox(), "at the recipient", x_ricevuta="errore-consegna", **about)
    harness.equal(header["Subject"], "AVVISO DI MANCATA CONSEGNA PER VIRUS: Tardi", "  the sender's own provider tells her")
    harness.equal(header["X-VerificaSicurezza"], "errore", "  with its mark")
    harness.check('tipo="errore-consegna" errore="virus"' in xml and pair.beta.mailbox in xml and LATER_NAME in xml, "  whose mailbox, which virus")
    service = pair.alfa.inbox(pair.alfa.receipts)
    detected, between, data = notice(pair, service, "between providers", x_ricevuta="rilevazione-virus", **about)
    harness.check(between["Subject"] == "PROBLEMA DI SICUREZZA: Tardi" and between["X-Mittente"] == pair.alfa.mailbox, "  the detection has its form")
    harness.check("Beta PEC" in data and detected, "  and Beta made it")
    taken = pair.alfa.inbox(pair.alfa.receipts)
    taken.wait(x_ricevuta="presa-in-carico", **about)
    taken.close()
    ada = pair.alfa.inbox()
    harness.equal(len(ada.find(x_ricevuta="accettazione", **about)), 1, "  the message had been accepted")
    harness.equal(ada.find(x_ricevuta="avvenuta-consegna", **about), [], "  and has no delivery receipt")
    ada.close()
    bruno = pair.beta.inbox()
    harness.equal(bruno.find(**about), [], "  it is not in the mailbox")
    bruno.close()
    record = [record for record in kept(pair.beta) if LATER_NAME in record["reason"]]
    harness.equal(len(record), 1, "  Beta keeps it")
    envelope = export(pair.beta, record[0])
    harness.verify_signature(envelope, pair.folder / "ca.pem", pair.folder)
    harness.byte_rule(sent, harness.part_bytes(envelope, "postacert.eml"))


def nothing_is_promised_unscanned(pair, clamd):
    clamd.stop()
    sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox, subject="Attesa")
    about = {"x_riferimento_message_id": harness.id_of(sent)}
    pair.alfa.submit(sent, [pair.beta.mailbox])
    ada = pair.alfa.inbox()
    ada.wait(x_ricevuta="accettazione", **about)
    said = "scanner 'clamav' cannot be reached"
    harness.wait_for(lambda: said in pair.beta.log.read_text(), "Beta to ask its scanner")
    service = pair.alfa.inbox(pair.alfa.receipts)
    harness.equal(service.find(x_ricevuta="presa-in-carico", **about), [], "Beta's scanner is away: no take-charge receipt")
    service.close()
    clamd.start()
    ada.wait(x_ricevuta="avvenuta-consegna", **about)
    ada.close()
    harness.check(True, "it is back: the same message is delivered and the receipt comes")


def journey():
    with harness.Pair(start=False) as pair:
        at_alfa, at_beta = scanners.Clamd(pair.folder / "clamd-alfa"), scanners.Clamd(pair.folder / "clamd-beta")
        with open(at_beta.folder / "db" / "test.ndb", "a") as database:
            database.write(f"{LATER_NAME}:0:*:{LATER_VIRUS.encode().hex()}\n")
        try:
            at_alfa.start()
            at_beta.start()
            for provider, clamd in ((pair.alfa, at_alfa), (pair.beta, at_beta)):
                scan(provider, clamd)
                provider.command("check")
                provider.start()
            clean_mail_walks(pair)
            found_at_the_sender(pair)
            found_at_the_recipient(pair)
            nothing_is_promised_unscanned(pair, at_beta)
        finally:
            at_alfa.stop()
            at_beta.stop()


harness.main(journey)
