"""Every plugin that ships, together in `policies/pec-provider.yaml`: certified mail with its receipts, and around it viruses,
spam, archive, forwarding, alerts and conservation, while none of them is in the way of another.

What each does by itself, and with the real systems it speaks to, is in the journeys before.
"""

import json
import time

import harness
import scanners
import service

HOUR = 3  # seconds of an «hour» of alerts


def ordinary_mailbox(pair):
    return f"bruno@{service.ordinary(pair.alfa)}"


def prepare(pair):
    """Bruno of Beta has everything; his ordinary mailbox is at Alfa; Carla has what her offer says."""
    for provider in (pair.alfa, pair.beta):
        policy = provider.folder / "policy.yaml"
        policy.write_text(policy.read_text().replace("      # sms-target:", f"      hour: {HOUR}\n      # sms-target:"))
        checked = provider.command("check")
        harness.check("no mistakes" in checked, f"{provider.word}: the shipped policy, under this provider's names, has no mistakes")
    pair.alfa.add_mailbox(ordinary_mailbox(pair))
    service.settings(pair.alfa, ordinary_mailbox(pair), {"archive": "on"})
    carla = f"carla@{pair.beta.domain}"
    pair.beta.passwords[carla] = carla[::-1]
    pair.beta.command("mailbox", "add", carla, "--offer", "pro", "--password-stdin", stdin=(carla[::-1] + "\n").encode())
    chosen = {"archive": "on", "conservation": "on", "conservation-manager": "responsabile@elsewhere.example",
              "forwarding": "allowed", "forward-to": ordinary_mailbox(pair), "alerts": "allowed"}
    service.settings(pair.beta, pair.beta.mailbox, chosen)


def from_whom(inbox, word):
    return [uid for uid, header in inbox.headers().items() if word in (header["From"] or "")]


def alerts_are_confirmed(pair):
    beta, inbox, private = pair.beta, pair.alfa.inbox(ordinary_mailbox(pair)), ordinary_mailbox(pair)
    beta.command("alerts", "add", f"mailbox={beta.mailbox}", f"address={private}")
    uid = harness.wait_for(lambda: from_whom(inbox, "avvisi@"), "the code")[0]
    code = service.code_in(inbox.fetch(uid))
    beta.command("alerts", "confirm", f"mailbox={beta.mailbox}", f"address={private}", f"code={code}")
    beta.command("alerts", "frequency", f"mailbox={beta.mailbox}", "email=1")
    inbox.close()
    harness.check(True, "alerts: the address is confirmed by the code that came to it")
    return {uid}


def certified_mail_walks(pair, codes):
    sent = harness.message(pair.alfa.mailbox, [pair.beta.mailbox, f"carla@{pair.beta.domain}"], subject="Prova riservata")
    pair.alfa.submit(sent, [pair.beta.mailbox, f"carla@{pair.beta.domain}"])
    ada, bruno = pair.alfa.inbox(), pair.beta.inbox()
    about = {"x_riferimento_message_id": harness.id_of(sent)}
    acceptance = ada.get(x_ricevuta="accettazione", **about)
    receipts = harness.wait_for(lambda: (found := ada.find(x_ricevuta="avvenuta-consegna", **about)) and len(found) == 2 and found, "both receipts of delivery")
    envelope = bruno.get(x_trasporto="posta-certificata", **about)
    for what, content in [("acceptance", acceptance), ("delivery", ada.fetch(receipts[0])), ("envelope", envelope)]:
        harness.verify_signature(content, pair.folder / "ca.pem", pair.folder)
        harness.check(b"X-Spam-Band" not in content, f"{what}: signed, and not marked by the antispam")
    harness.byte_rule(sent, harness.part_bytes(envelope, "postacert.eml"))
    for inbox in (ada, bruno):
        inbox.close()
    forwarded_and_told(pair, envelope, codes)
    return sent, envelope


def forwarded_and_told(pair, envelope, codes):
    inbox = pair.alfa.inbox(ordinary_mailbox(pair))
    forward = inbox.fetch(harness.wait_for(lambda: from_whom(inbox, "inoltro@"), "the forwarded copy")[0])
    harness.check(harness.fields(envelope)[1] in forward, "forwarding: the envelope is in the copy, byte for byte")
    alert = inbox.fetch(harness.wait_for(lambda: [uid for uid in from_whom(inbox, "avvisi@") if uid not in codes], "the alert")[0])
    harness.check(b"riservata" not in alert and pair.alfa.mailbox.encode() not in alert, "alerts: how many came, and nothing of what they say")
    time.sleep(3 * HOUR)
    again = [uid for uid in from_whom(inbox, "avvisi@") if uid not in codes]
    harness.equal(len(again), 1, "  once: where nothing arrived, nothing is sent")
    inbox.close()


def ordinary_mail(pair):
    """From elsewhere, clean and infected, to a certified and to an ordinary mailbox."""
    content = harness.message("zoe@elsewhere.example", pair.beta.mailbox, subject="Saluti")
    pair.beta.relay(content, "zoe@elsewhere.example", [pair.beta.mailbox])
    bruno = pair.beta.inbox()
    anomaly = bruno.fetch(bruno.wait(Subject="ANOMALIA MESSAGGIO: Saluti"))
    harness.verify_signature(anomaly, pair.folder / "ca.pem", pair.folder)
    harness.check(content in harness.part_bytes(anomaly, "postacert.eml") or harness.id_of(content).encode() in anomaly, "ordinary mail arrives as an anomaly, signed")
    bruno.close()
    virus = harness.message("zoe@elsewhere.example", pair.beta.mailbox, text=f"{scanners.VIRUS}\r\n")
    pair.beta.relay(virus, "zoe@elsewhere.example", [pair.beta.mailbox])
    to_ordinary = harness.message("zoe@elsewhere.example", ordinary_mailbox(pair), text=f"{scanners.VIRUS}\r\n")
    pair.alfa.relay(to_ordinary, "zoe@elsewhere.example", [ordinary_mailbox(pair)])
    kept = lambda provider: json.loads(provider.command("quarantine", "list", "--json"))
    harness.wait_for(lambda: kept(pair.beta) and kept(pair.alfa), "both to be kept")
    inbox = pair.alfa.inbox(ordinary_mailbox(pair))
    harness.equal(inbox.find(Message_ID=harness.id_of(to_ordinary)), [], "infected mail is kept at both kinds of mailbox and delivered to nobody")
    inbox.close()


def archived_without_a_word(pair, sent):
    """BOX-18, ARC-02: an offer with an archive binds it with the mailbox; and one of an ordinary domain has both ways."""
    copies = lambda provider, mailbox, way: json.loads(provider.command("archive", "search", mailbox, "--direction", way, "--json"))
    kept = copies(pair.beta, f"carla@{pair.beta.domain}", "received")
    about = [copy["properties"].get("reference") for copy in kept]
    harness.check(harness.id_of(sent) in about, "archive: a mailbox of the offer «pro» has copies from its first message on")
    private = ordinary_mailbox(pair)
    own = harness.message(private, private, subject="Promemoria")
    pair.alfa.submit(own, [private], user=private)
    inbox = pair.alfa.inbox(private)
    filed = inbox.get(Message_ID=harness.id_of(own))
    inbox.close()
    harness.equal([copy["sha256"] for copy in copies(pair.alfa, private, "sent")], [harness.sha256(own)], "  one of an ordinary domain has what it sends")
    harness.check(harness.sha256(filed) in [copy["sha256"] for copy in copies(pair.alfa, private, "received")], "  and what comes to it")


def archived_and_preserved(pair, outside, envelope):
    beta = pair.beta
    inbox = beta.inbox()
    _, listed = inbox.open().list('"#Archive/"', "*")
    inbox.close()
    names = [line.decode().rpartition('"/" ')[2].strip('"') for line in listed if line]
    received = next(name for name in names if name.endswith("Received"))
    archive = beta.inbox(folder=f'"{received}"')
    copy = archive.get(Message_ID=harness.id_of(envelope))
    count = len(archive.headers())
    archive.close()
    harness.check(harness.fields(envelope)[1] in copy, "archive: the copy is the envelope, byte for byte")
    status = json.loads(beta.command("conservation", "run", f"mailbox={beta.mailbox}", "all=yes", "--json"))
    packages = lambda: [path for path in outside.preserver.packages() if beta.mailbox in str(path)]
    package = harness.wait_for(packages, f"a package at the preservation system ({status})")[0]
    members = service.members(package)
    index = next(name for name in members if name.endswith("PIndex.xml"))
    (outside.folder / "PIndex.xml").write_bytes(members[index])
    (outside.folder / "PIndex.xml.tsr").write_bytes(members[f"{index}.tsr"])
    harness.check(outside.stamps.verifies(outside.folder / "PIndex.xml"), "conservation: the index is stamped (openssl ts)")
    digests = {harness.sha256(content) for content in members.values()}
    harness.check(harness.sha256(copy) in digests, "  and the archived copy is in the package")
    gone = lambda: len(archive_now(beta, received)) < count
    harness.wait_for(gone, "the archive to let go what is confirmed")
    out = pair.folder / "back.eml"
    found = json.loads(beta.command("conservation", "search", f"mailbox={beta.mailbox}", "--json"))
    harness.check(harness.id_of(envelope).strip("<>") in json.dumps(found), "  it is found in what was deposited")
    beta.command("conservation", "export", f"mailbox={beta.mailbox}", f"message-id={harness.id_of(envelope).strip('<>')}", "--out", out)
    harness.equal(harness.sha256(out.read_bytes()), harness.sha256(copy), "  and comes back from the preservation system (SHA-256)")


def archive_now(provider, name):
    inbox = provider.inbox(folder=f'"{name}"')
    headers = inbox.headers()
    inbox.close()
    return headers


def everything_survives(pair):
    """SIGKILL of both; nothing is sent twice, and the logs are whole."""
    inbox = pair.alfa.inbox(ordinary_mailbox(pair))
    before = len(inbox.headers())
    inbox.close()
    for provider in (pair.alfa, pair.beta):
        provider.kill()
    for provider in (pair.alfa, pair.beta):
        provider.start()
    time.sleep(2 * HOUR)
    inbox = pair.alfa.inbox(ordinary_mailbox(pair))
    # The anomaly and the forwards of before may still have been on their way; what must not be is a second of any.
    ids = [header["Message-ID"] for header in inbox.headers().values()]
    harness.check(len(ids) == len(set(ids)) and len(ids) >= before, "after SIGKILL nothing is there twice, nothing is lost")
    inbox.close()
    for provider in (pair.alfa, pair.beta):
        provider.command("log", "verify")
    harness.check(True, "both logs are whole")


def journey():
    with harness.Pair(start=False) as pair:
        with service.Outside(pair.folder / "outside", pair.alfa.ports["submissions"] + service.PORTS_AFTER) as outside:
            service.establish(pair, outside)
            prepare(pair)
            pair.alfa.start()
            pair.beta.start()
            codes = alerts_are_confirmed(pair)
            sent, envelope = certified_mail_walks(pair, codes)
            ordinary_mail(pair)
            archived_without_a_word(pair, sent)
            archived_and_preserved(pair, outside, envelope)
            everything_survives(pair)
            for provider in (pair.alfa, pair.beta):
                harness.equal(provider.stop(), 0, f"{provider.word} stops")


harness.main(journey)
