"""The backup archive: a copy of all that a mailbox receives and sends, read by ordinary clients in a namespace of its own,
within its space, let go only where that is allowed, and there exactly where the message is, whatever dies when.

    SEED=…  the same moments of death again     KILLS=…  another number of them
"""

import collections
import json
import os
import pwd
import random
import re
import shutil
import smtplib
import sqlite3
import subprocess
import time
import urllib.parse

import harness

KILLS = int(os.environ.get("KILLS", "8"))
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
# Octets of a GB in this journey: the space of the smaller offer is 1,000,000 octets.
GIGABYTE = 200_000
SPACE = 5 * GIGABYTE

PLUGIN = f"""
  archive:
    component: archive@0.1
    config: {{ sender: archivio@beta.example, gigabyte: {GIGABYTE} }}
    grants:
      archive: true
      mailboxes: read
      state: true
      submit: {{ from: [archivio@beta.example] }}
      evidence: true

# Nothing here may be skipped"""
ALERTS = """  - name: alerts
    stage: reception
    when: { arrival: internal, sender: archivio@beta.example }
    steps: []

  # Incoming point"""


def with_archive(policy):
    """The shipped policy and the archive in it: before the access point changes what is sent, after the delivery point."""
    step = "- { plugin: archive, on-failure: defer, limits: { wall: 60s } }"
    policy = policy.replace("\n# Nothing here may be skipped", PLUGIN, 1).replace("  # Incoming point", ALERTS, 1)
    access, delivery = policy.index("  - name: access-point"), policy.index("  - name: delivery-point")
    steps = policy.index("    steps:\n", access) + len("    steps:\n")
    policy = policy[:steps] + f"      {step}\n" + policy[steps:]
    delivery = policy.index("  - name: delivery-point")
    end = policy.index("\n\n", delivery)
    return policy[:end] + f"\n      {step}" + policy[end:]


class Archive:
    """The archive of a mailbox as the operator and its owner see it."""

    def __init__(self, provider, mailbox):
        self.provider, self.mailbox = provider, mailbox

    def search(self, *words):
        return json.loads(self.provider.command("archive", "search", self.mailbox, "--json", *words))

    def ask(self, operation, *words):
        """(exit status, the answer or None, what stood on standard error)"""
        command = [harness.SIGILLO, "--config", self.provider.config, "archive", operation, f"mailbox={self.mailbox}", *words]
        done = subprocess.run([str(word) for word in [*command, "--json"]], capture_output=True, text=True)
        return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr

    def usage(self):
        return self.ask("usage")[1]

    def set(self, name, value):
        self.provider.command("mailbox", "set", self.mailbox, name, value)

    def folders(self):
        session = self.session()
        _, lines = session.list('""', '"#Archive/*"')
        session.logout()
        found = [re.search(rb'"/" "(.*)"$', line).group(1).decode() for line in lines if line and b"\\Noselect" not in line]
        return found

    def session(self):
        ports = self.provider.ports
        session = harness.imaplib.IMAP4_SSL("127.0.0.1", ports["imaps"], ssl_context=self.provider.context(), timeout=60)
        session.login(self.mailbox, self.provider.passwords[self.mailbox])
        return session


def by_imaplib(archive, folder):
    session = archive.session()
    try:
        session.select(f'"{folder}"')
        raise harness.Failure(f"{folder} can be selected for writing")
    except session.readonly:
        print(f"  ok  {folder}: SELECT opens it read-only", flush=True)
    session.select(f'"{folder}"', readonly=True)
    _, found = session.uid("SEARCH", "ALL")
    contents = []
    for uid in found[0].split():
        _, answer = session.uid("FETCH", uid, "(BODY.PEEK[])")
        contents.append(next(item[1] for item in answer if isinstance(item, tuple)))
    session.logout()
    return contents


def by_curl(archive, folder):
    provider = archive.provider
    session = archive.session()
    session.select(f'"{folder}"', readonly=True)
    _, found = session.uid("SEARCH", "ALL")
    session.logout()
    user = f"{archive.mailbox}:{provider.passwords[archive.mailbox]}"
    url = f"imaps://localhost:{provider.ports['imaps']}/{urllib.parse.quote(folder, safe='')};UID="
    words = ["curl", "-sS", "--cacert", provider.ca, "--user", user]
    return [harness.run(*words, url + uid.decode()) for uid in found[0].split()]


def by_mbsync(archive, folder):
    provider, here = archive.provider, archive.provider.folder / "mbsync"
    shutil.rmtree(here, ignore_errors=True)
    (here / "mail").mkdir(parents=True)
    (here / "rc").write_text(
        f"IMAPAccount a\nHost localhost\nPort {provider.ports['imaps']}\nUser {archive.mailbox}\n"
        f"Pass {provider.passwords[archive.mailbox]}\nSSLType IMAPS\nSystemCertificates no\nCertificateFile {provider.ca}\n\n"
        f'IMAPStore far\nAccount a\nPath "#Archive/"\nUseNamespace no\n\nMaildirStore near\nPath {here}/mail/\nInbox {here}/mail/INBOX\n'
        "SubFolders Verbatim\n\nChannel c\nFar :far:\nNear :near:\nPatterns * !INBOX\nCreate Near\nSync Pull New\nSyncState *\n"
    )
    harness.run("mbsync", "-q", "-c", here / "rc", "-a")
    name = folder.removeprefix("#Archive/")
    files = [path for kind in ("new", "cur") for path in (here / "mail" / name / kind).iterdir()]
    files.sort(key=lambda path: int(re.search(r"U=(\d+)", path.name).group(1)))
    # A maildir has bare LF, and mbsync marks what it copies with a field of its own: undo both.
    return [re.sub(rb"(?m)^X-TUID: .*\n", b"", path.read_bytes(), count=1).replace(b"\n", b"\r\n") for path in files]


def nothing_before_it_is_bound(pair, archive):
    sent = harness.message(pair.alfa.mailbox, archive.mailbox, subject="Prima")
    pair.alfa.submit(sent, [archive.mailbox])
    inbox = pair.beta.inbox()
    inbox.wait(x_riferimento_message_id=harness.id_of(sent))
    inbox.close()
    harness.equal(archive.search(), [], "without the setting no copy is kept")
    harness.equal(archive.folders(), [], "and no folders of an archive are shown")
    session = archive.session()
    _, spaces = session.namespace()
    session.logout()
    harness.equal(spaces[0], b'(("" "/")) NIL NIL', "nor its namespace")
    archive.set("archive", "on")


def what_comes_and_what_is_sent(pair, archive):
    sent = harness.message(pair.alfa.mailbox, archive.mailbox, subject="Ricevuto")
    pair.alfa.submit(sent, [archive.mailbox])
    inbox = pair.beta.inbox()
    filed = inbox.get(x_riferimento_message_id=harness.id_of(sent))
    [copy] = archive.search()
    harness.equal((copy["direction"], copy["sha256"]), ("received", harness.sha256(filed)), "what is filed is kept, byte for byte")
    harness.check("Ricevuto" in copy["properties"]["subject"], "  with its subject")

    answer = harness.message(archive.mailbox, pair.alfa.mailbox, subject="Inviato")
    pair.beta.submit(answer, [pair.alfa.mailbox])
    about = {"x_riferimento_message_id": harness.id_of(answer)}
    receipts = [inbox.get(x_ricevuta=kind, **about) for kind in ("accettazione", "avvenuta-consegna")]
    inbox.close()
    [own] = archive.search("--direction", "sent")
    harness.equal(own["sha256"], harness.sha256(answer), "what is sent is kept as its user handed it in")
    kept = [copy["sha256"] for copy in archive.search("--word", harness.id_of(answer), "--direction", "received")]
    harness.equal(sorted(kept), sorted(map(harness.sha256, receipts)), "and so are its receipts")

    refused = harness.message(archive.mailbox, pair.alfa.mailbox, headers=[f"Bcc: nascosto@{pair.alfa.domain}"], subject="Rifiutato")
    pair.beta.submit(refused, [pair.alfa.mailbox])
    inbox = pair.beta.inbox()
    inbox.wait(x_ricevuta="non-accettazione", x_riferimento_message_id=harness.id_of(refused))
    inbox.close()
    harness.equal(len(archive.search("--direction", "sent")), 1, "what was not accepted was not sent, and has no copy")
    return filed


def clients_read_it(archive):
    session = archive.session()
    _, spaces = session.namespace()
    harness.equal(spaces[0], b'(("" "/")) NIL (("#Archive/" "/"))', "NAMESPACE tells of the archive")
    _, everything = session.list()
    session.logout()
    folders = archive.folders()
    harness.check(len(folders) == 2 and all(any(name.encode() in line for line in everything) for name in folders), f"LIST shows {folders}")
    for folder in folders:
        direction = folder.rsplit("/", 1)[1].lower()
        expected = [copy["sha256"] for copy in archive.search("--direction", direction)]
        for name, read in {"imaplib": by_imaplib, "curl": by_curl, "mbsync": by_mbsync}.items():
            found = [harness.sha256(content) for content in read(archive, folder)]
            harness.equal(found, expected, f"{name}: {folder}, {len(found)} messages with their SHA-256")


def owners_cannot_change_it(archive, filed):
    [folder] = [name for name in archive.folders() if name.endswith("Received")]
    session = archive.session()
    session.select("INBOX")
    _, found = session.uid("SEARCH", "HEADER", "Message-ID", harness.id_of(filed))
    session.uid("STORE", found[0], "+FLAGS", "(\\Deleted)")
    session.expunge()
    _, found = session.uid("SEARCH", "HEADER", "Message-ID", harness.id_of(filed))
    harness.equal(found[0], b"", "a message is deleted from the mailbox by mistake")
    session.select(f'"{folder}"', readonly=True)
    _, found = session.uid("SEARCH", "HEADER", "Message-ID", harness.id_of(filed))
    uid = found[0]
    _, answer = session.uid("FETCH", uid, "(BODY.PEEK[])")
    harness.equal(harness.sha256(answer[0][1]), harness.sha256(filed), "its copy is still in the archive")
    refused = {
        "STORE": lambda: session.uid("STORE", uid, "+FLAGS", "(\\Deleted)"),
        "EXPUNGE": session.expunge,
        "CREATE": lambda: session.create('"#Archive/mine"'),
        "DELETE": lambda: session.delete(f'"{folder}"'),
        "RENAME": lambda: session.rename(f'"{folder}"', "mine"),
        "APPEND": lambda: session.append(f'"{folder}"', None, None, b"Subject: x\r\n\r\n"),
        "MOVE": lambda: session._simple_command("UID", "MOVE", uid.decode(), "INBOX"),
    }
    for name, command in refused.items():
        status, words = command()
        harness.check(status == "NO" and words[0].startswith(b"[NOPERM]"), f"  {name} is refused: {words[0].decode()}")
    status, _ = session.uid("COPY", uid, "INBOX")
    session.select("INBOX")
    _, found = session.uid("SEARCH", "HEADER", "Message-ID", harness.id_of(filed))
    _, answer = session.uid("FETCH", found[0], "(BODY.PEEK[])")
    session.logout()
    harness.equal((status, harness.sha256(answer[0][1])), ("OK", harness.sha256(filed)), "COPY brings it back to the mailbox, byte for byte")


def fill(pair, archive, octets):
    """A message of about so many octets, delivered."""
    text = ("x" * 76 + "\r\n") * max(1, octets // 78)
    sent = harness.message(pair.alfa.mailbox, archive.mailbox, subject="Spazio", text=text)
    pair.alfa.submit(sent, [archive.mailbox])
    inbox = pair.beta.inbox()
    inbox.wait(x_riferimento_message_id=harness.id_of(sent))
    inbox.close()
    return sent


def alerts(pair, what):
    inbox = pair.beta.inbox()
    found = [header["Subject"] for header in inbox.headers().values() if "archivio@beta.example" in (header["From"] or "")]
    inbox.close()
    return [subject for subject in found if what in subject]


def the_space_comes_to_its_end(pair, archive):
    while archive.usage()["percent"] < 79:
        before = archive.usage()
        harness.equal(alerts(pair, "%"), [], f"at {before['percent']} % nothing is said")
        fill(pair, archive, min(150_000, max(10_000, SPACE * 79 // 100 - before["used"] - 8_000)))
    fill(pair, archive, 20_000)
    harness.check(80 <= archive.usage()["percent"] < 90, "the archive is filled to 80 %")
    [alert] = harness.wait_for(lambda: alerts(pair, "%"), "the alert in the mailbox")
    harness.check(re.search(r"all'8\d% / Backup archive 8\d% full", alert), f"the mailbox is told: {alert}")
    fill(pair, archive, 10_000)
    harness.equal(len(alerts(pair, "%")), 1, "  once")
    last = fill(pair, archive, 200_000)
    used = archive.usage()["used"]
    harness.check(used <= SPACE, "a message without room is delivered all the same")
    harness.equal(archive.search("--word", harness.id_of(last)), [], "  and has no copy")
    events = json.loads(pair.beta.command("log", "search", "--kind", "archive-full", "--json"))
    harness.equal([event["recipients"] for event in events], [[archive.mailbox]], "  which is in the message log")
    harness.equal(len(harness.wait_for(lambda: alerts(pair, "pieno"), "the second alert")), 1, "  and the mailbox is told that it is full")


def letting_go(pair, archive):
    me = pwd.getpwuid(os.getuid()).pw_name
    copies = archive.search()
    for words in (["delete", f"id={copies[0]['id']}"], ["free"]):
        status, _, said = archive.ask(*words)
        harness.check(status == 1 and "archive-deletion allowed" in said, f"{words[0]} is refused, and it is said who can allow it")
    archive.set("archive-deletion", "allowed")
    conserve(pair.beta, archive, "on")
    for words in (["delete", f"id={copies[0]['id']}"], ["free"]):
        status, _, said = archive.ask(*words)
        harness.check(status == 1 and "conservazione" in said, f"{words[0]} is refused to a mailbox with conservation")
    conserve(pair.beta, archive, "off")
    harness.equal([copy["id"] for copy in archive.search()], [copy["id"] for copy in copies], "nothing is gone")

    chosen = copies[3]
    status, done, _ = archive.ask("delete", f"id={chosen['id']}")
    harness.equal((status, done["deleted"], done["octets"]), (0, 1, chosen["size"]), "where it is allowed, one copy is deleted by hand")
    used = archive.usage()["used"]
    status, preview, _ = archive.ask("free", "preview=yes")
    status, done, _ = archive.ask("free")
    harness.equal((status, done["octets"]), (0, preview["octets"]), "free lets go what it said it would")
    left = archive.search()
    harness.check(done["octets"] * 4 >= used and archive.usage()["used"] == used - done["octets"], f"  at least a quarter of {used} octets: {done['octets']}")
    remaining = [copy["id"] for copy in copies if copy != chosen]
    harness.equal([copy["id"] for copy in left if copy["id"] in remaining], remaining[done["deleted"] :], "  from the oldest on")
    events = json.loads(pair.beta.command("log", "search", "--kind", "archive-deleted", "--json"))
    harness.equal(len(events), done["deleted"] + 1, "  and each copy that went is in the message log")
    harness.check(all(me in dict(event["details"])["actor"] for event in events), f"  with who let it go, {me}")
    again = [record for record in archive.search() if record["id"] == chosen["id"]]
    harness.equal(again, [], "what is gone is not found")
    fill(pair, archive, SPACE * 8 // 10 - archive.usage()["used"] + 10_000)
    harness.equal(len(harness.wait_for(lambda: alerts(pair, "%")[1:], "a second alert")), 1, "after it fell below 80 % and rose again, the mailbox is told again")


def conserve(provider, archive, value):
    """The plugin `conservation` owns this setting; where it is not installed, the row is what it would have made."""
    with sqlite3.connect(provider.folder / "data/sigillo.db", timeout=30) as database:
        database.execute("INSERT OR REPLACE INTO account_settings VALUES (?, 'conservation', ?)", (archive.mailbox, value))
    database.close()


def operators_are_seen(pair, archive):
    where = pair.folder / "export"
    done = json.loads(pair.beta.command("archive", "export", archive.mailbox, "--dir", where, "--json"))
    copies = archive.search()
    harness.equal((done["written"], done["already"]), (len(copies), 0), f"export writes {len(copies)} copies")
    index = [json.loads(line) for line in (where / "index.jsonl").read_text().splitlines()]
    found = [harness.sha256((where / entry["file"]).read_bytes()) for entry in index]
    harness.equal(found, [copy["sha256"] for copy in copies], "  each with its bytes, and an index of them")
    harness.equal((where / "index.jsonl").stat().st_mode & 0o777, 0o600, "  which nobody else reads")
    (where / index[0]["file"]).unlink()
    (where / index[1]["file"]).write_bytes(b"cut")
    done = json.loads(pair.beta.command("archive", "export", archive.mailbox, "--dir", where, "--json"))
    harness.equal((done["written"], done["already"]), (2, len(copies) - 2), "the same command again writes only what is missing")
    file = where / "one.eml"
    pair.beta.command("archive", "show", archive.mailbox, copies[0]["id"], "--out", file)
    harness.equal(harness.sha256(file.read_bytes()), copies[0]["sha256"], "one copy is written by itself")
    harness.check(archive.mailbox in pair.beta.command("archive", "list"), "list names the mailbox")
    seen = json.loads(pair.beta.command("log", "search", "--log", "front-end", "--kind", "archive-access", "--json"))
    kinds = {event["result"] for event in seen}
    me = pwd.getpwuid(os.getuid()).pw_name
    harness.equal(kinds, {"list", "search", "export"}, "the log of the front end has every look that an operator took")
    harness.equal({event["sender"] for event in seen}, {me}, f"  and that it was {me}")


def an_office(pair):
    """A mailbox of several users (BOX-16): what any of them sends is kept, and the archive is its holder's (BOX-03)."""
    beta, office, login = pair.beta, f"ufficio@{pair.beta.domain}", "bruno.operatore"
    for name in (office, login):
        beta.passwords[name] = name[::-1]
    words = lambda name: {"stdin": (beta.passwords[name] + "\n").encode()}
    beta.command("mailbox", "add", office, "--kind", "multi-user", "--password-stdin", **words(office))
    beta.command("user", "add", office, login, "--password-stdin", **words(login))
    archive = Archive(beta, office)
    archive.set("archive", "on")
    answer = harness.message(office, pair.alfa.mailbox, subject="Risposta")
    with beta.smtp(login) as session:
        session.sendmail(office, [pair.alfa.mailbox], answer)
    inbox = beta.inbox(office)
    receipt = inbox.get(x_ricevuta="avvenuta-consegna", x_riferimento_message_id=harness.id_of(answer))
    inbox.close()
    harness.equal([copy["sha256"] for copy in archive.search("--direction", "sent")], [harness.sha256(answer)], "what an operator sends is kept for the mailbox")
    kept = [copy["sha256"] for copy in archive.search("--direction", "received")]
    harness.check(harness.sha256(receipt) in kept, "  and the receipts that come for it")
    folders = archive.folders()
    harness.equal(len(folders), 2, "the holder sees the archive")
    operator = harness.imaplib.IMAP4_SSL("127.0.0.1", beta.ports["imaps"], ssl_context=beta.context(), timeout=60)
    operator.login(login, beta.passwords[login])
    _, listed = operator.list()
    harness.check(not any(b"#Archive" in line for line in listed), "  an operator does not")
    status, words = operator.select(f'"{folders[0]}"', readonly=True)
    harness.check(status == "NO" and words[0].startswith(b"[NOPERM]"), f"  nor by its name: {words[0].decode()}")
    operator.logout()
    usage = lambda who, mailbox: beta.command("--actor", who, "archive", "usage", f"mailbox={mailbox}", "--json", ok=False)
    harness.check(json.loads(usage(office, office))["copies"] > 0, "the holder asks for its filling with his own rights (ALR-01)")
    harness.equal([usage(login, office), usage(office, beta.mailbox), usage("nobody", office)], ["", "", ""], "  an operator, another mailbox's holder, and who is none do not")
    harness.equal([beta.command("--actor", office, *words, ok=False) for words in (("conservation", "run"), ("archive", "list"), ("queue", "list"))], ["", "", ""], "  nor he for what is the provider's")
    asked = json.loads(beta.command("log", "search", "--log", "front-end", "--kind", "operation", "--sender", office, "--json"))
    harness.equal(len(asked), 1, "  and the log has it in his name")


def whatever_dies(pair, archive):
    """A copy is there exactly where the message is."""
    random.seed(SEED)
    print(f"  SEED={SEED} KILLS={KILLS}", flush=True)
    accepted = set()
    for _ in range(KILLS):
        for _ in range(random.randint(1, 4)):
            sent = harness.message(pair.alfa.mailbox, archive.mailbox)
            pair.alfa.submit(sent, [archive.mailbox])
            accepted.add(harness.id_of(sent))
            try:
                own = harness.message(archive.mailbox, pair.alfa.mailbox)
                pair.beta.submit(own, [pair.alfa.mailbox], user=archive.mailbox)
                accepted.add(harness.id_of(own))
            except (OSError, smtplib.SMTPException):
                pass  # no 250: it is not ours
        time.sleep(random.random() * 0.4)
        pair.beta.kill()
        pair.beta.start()
    inbox = pair.beta.inbox(archive.mailbox)

    def arrived():
        references = {(header["X-Riferimento-Message-ID"] or "").strip() for header in inbox.headers().values()}
        return accepted <= references

    harness.wait_for(arrived, "everything that was accepted", 300)
    # What was committed without an answer has receipts too: nothing is on its way any more, from Alfa or here.
    idle = lambda provider: json.loads(provider.command("queue", "list", "--json")) == []
    harness.wait_for(lambda: all(idle(one) for one in (pair.alfa, pair.beta, pair.alfa, pair.beta)), "both queues to be empty", 120, 0.5)
    headers = inbox.headers().values()
    filed = collections.Counter(header["Message-ID"].strip() for header in headers)
    receipts = [header for header in headers if (header["X-Ricevuta"] or "").strip() == "accettazione"]
    taken = collections.Counter(header["X-Riferimento-Message-ID"].strip() for header in receipts)
    inbox.close()
    # So many kills that the space was used up: what found no room is in the message log, in the same commit.
    said = json.loads(pair.beta.command("log", "search", "--kind", "archive-full", "--json", "--limit", "10000"))
    full = lambda way: collections.Counter(
        f"<{event['message_id']}>" for event in said if event["recipients"] == [archive.mailbox] and dict(event["details"])["direction"] == way
    )
    filed, taken = filed - full("received"), taken - full("sent")
    kept = collections.Counter(copy["properties"]["message-id"] for copy in archive.search("--direction", "received"))
    harness.equal(kept, filed, f"after {KILLS} x SIGKILL: one copy for each of {len(filed)} messages, no other")
    outgoing = collections.Counter(copy["properties"]["message-id"] for copy in archive.search("--direction", "sent"))
    harness.equal(outgoing, taken, f"  and one of each of {len(taken)} that were accepted, no other")
    usage = archive.usage()
    harness.equal(usage["used"], sum(copy["size"] for copy in archive.search()), "  and the figure of the space is that of the copies")


def journey():
    with harness.Pair(start=False) as pair:
        beta = pair.beta
        policy = beta.folder / "policy.yaml"
        policy.write_text(with_archive(policy.read_text()))
        dora = beta.add_mailbox(f"dora@{beta.domain}")
        pair.alfa.start()
        beta.start()
        archive = Archive(beta, beta.mailbox)
        nothing_before_it_is_bound(pair, archive)
        filed = what_comes_and_what_is_sent(pair, archive)
        clients_read_it(archive)
        owners_cannot_change_it(archive, filed)
        the_space_comes_to_its_end(pair, archive)
        letting_go(pair, archive)
        operators_are_seen(pair, archive)
        an_office(pair)
        second = Archive(beta, dora)
        second.set("archive", "on")
        second.set("archive-size", "10")
        whatever_dies(pair, second)


harness.main(journey)
