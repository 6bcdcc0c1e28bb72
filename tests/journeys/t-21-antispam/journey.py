"""Unwanted mail, with a real rspamd and a real spamd: ordinary mail is marked and filed into Junk, also in the envelope
that a certified mailbox gets it in; certified mail never is. An engine that is down, or answers garbage, stops nothing.
Moving messages into Junk and back teaches. A mailbox that bursts is told of and suspended, and still receives. The server
dies (SIGKILL) while messages are moved and lessons told, and while a burst is found out: each once, or not yet.

Two providers; Beta has an ordinary domain too, and the plugin `antispam` in its policy.

    SEED=…  the same moments again (as far as the machine allows)     KILLS=…  another number of times
"""

import collections
import imaplib
import json
import os
import random
import re
import smtplib
import sqlite3
import threading
import time

import harness
import scanners

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
LESSONS = 24

DOMAIN = "posta.beta.example"
CARLA, DINO, POSTMASTER = f"carla@{DOMAIN}", f"dino@{DOMAIN}", f"postmaster@{DOMAIN}"
STRANGER = "mario@ordinaria.example"
# What every engine takes for spam: SpamAssassin's test text, in two halves so that no scanner stops at this file.
GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-" + "ANTI-UBE-TEST-EMAIL*C.34X"

PLUGIN = """  antispam:
    component: antispam@0.1
    config:
      ENGINE
      minimum-lessons: 5
      learn-every: 1
      outgoing:
        watch-every: 1
        standard: { messages-per-hour: 5 }
        on-anomaly: suspend
      postmaster: POSTMASTER
      sender: antispam@DOMAIN
    grants:
      scan: [rspamd, spamd]
      verifier: true
      directory: read
      mailboxes: read
      state: true
      timers: { on-failure: defer, limits: { cpu: 10s, wall: 60s, host-calls: 100000 } }
      evidence: true
      submit: { from: [antispam@DOMAIN] }
      accounts: suspend
"""
STEP = "      - { plugin: antispam, on-failure: skip, advisory: true, limits: { cpu: 5s, wall: 60s, host-calls: 100000 } }\n"
CHAINS = "".join(
    f"  - {{ name: ordinary-{stage}, stage: {stage}, when: {{ domain.class: ordinary }}, steps: [{STEP.strip()[2:]}] }}\n"
    for stage in ("access", "reception", "delivery", "outcome")
) + f"  - {{ name: lessons, stage: refiled, steps: [{STEP.strip()[2:]}] }}\n"


def with_antispam(policy, engine):
    """The provider's own policy with the plugin before `pec`, and after it at delivery."""
    plugin = PLUGIN.replace("ENGINE", engine).replace("DOMAIN", DOMAIN).replace("POSTMASTER", POSTMASTER)
    policy = policy.replace("plugins:\n", "plugins:\n" + plugin, 1)
    head, *chains = re.split(r"(?m)^(?=  - name: )", policy)
    for at, chain in enumerate(chains):
        if "stage: delivery" in chain:
            text, comments = re.match(r"(?s)(.*?)(\n  #.*|\s*)$", chain).groups()
            chains[at] = text.rstrip("\n") + "\n" + STEP + comments.lstrip("\n")
        else:
            chains[at] = chain.replace("    steps:\n", "    steps:\n" + STEP, 1)
    return head + "".join(chains).rstrip("\n") + "\n" + CHAINS


class Rated:
    """Beta's server under one engine."""

    def __init__(self, provider, plain):
        self.provider, self.plain = provider, plain

    def obey(self, engine):
        if self.provider.running():
            harness.equal(self.provider.stop(), 0, "the server stops")
        (self.provider.folder / "policy.yaml").write_text(with_antispam(self.plain, engine))
        self.provider.command("check")
        self.provider.start()


def relay(provider, recipient, text, subject="Offerta"):
    """A message from an ordinary server elsewhere; returns it."""
    sent = harness.message(STRANGER, recipient, subject=subject, text=text + "\r\n")
    provider.relay(sent, STRANGER, [recipient])
    return sent


def arrived(provider, user, sent, folder):
    """The message of this id in this folder, and its flags."""
    box = provider.inbox(user, folder)
    uid = box.wait(message_id=harness.id_of(sent))
    content = box.fetch(uid)
    _, answer = box.open().uid("FETCH", str(uid), "(FLAGS)")
    box.close()
    return content, answer[0].decode()


def mark(content):
    return harness.header_of(content)["X-Spam-Band"]


def events(provider, kind, sender):
    found = json.loads(provider.command("log", "search", "--sender", sender, "--json"))
    return [record for record in found if record["kind"] == kind]


def marked_and_filed(beta, engine):
    sent = relay(beta, CARLA, GTUBE)
    content, flags = arrived(beta, CARLA, sent, "Junk")
    harness.check(re.fullmatch(rf"alta \(high\), 9\d%; engine={engine}", mark(content)), f"unwanted mail is marked: {mark(content)}")
    harness.check("$Junk" in flags, "  and lies in Junk with the flag that clients know")
    harness.check(GTUBE.encode() in content and content.endswith(sent.split(b"\r\n\r\n", 1)[1]), "  with its bytes as they came")
    sent = relay(beta, CARLA, "Ci vediamo domani alle dieci in sala riunioni.", subject="Riunione")
    content, _ = arrived(beta, CARLA, sent, "INBOX")
    harness.equal(mark(content), None, "wanted mail lies in INBOX, unmarked")
    forged = harness.message(STRANGER, CARLA, text="Ci vediamo domani.\r\n", headers=["X-Spam-Band: alta (high), 99%;\r\n engine=mine"])
    beta.relay(forged, STRANGER, [CARLA])
    content, _ = arrived(beta, CARLA, forged, "INBOX")
    harness.check(mark(content) is None and b"engine=mine" not in content, "a mark that the sender wrote is taken out")
    rest = forged.split(b"\r\n engine=mine\r\n", 1)[1]
    harness.check(content.endswith(rest), "  and not one byte more")
    beta.command("mailbox", "set", CARLA, "junk-from", "never", "--as", "user")
    sent = relay(beta, CARLA, GTUBE)
    content, flags = arrived(beta, CARLA, sent, "INBOX")
    harness.check(mark(content).startswith("alta") and "$Junk" not in flags, "who wants nothing in Junk gets it in INBOX, marked")
    beta.command("mailbox", "unset", CARLA, "junk-from")


def certified_mail_is_left_alone(pair):
    alfa, beta = pair.alfa, pair.beta
    sent = harness.message(alfa.mailbox, beta.mailbox, subject="Certificata", text=GTUBE + "\r\n")
    alfa.submit(sent, [beta.mailbox])
    about = {"x_riferimento_message_id": harness.id_of(sent)}
    ada, bruno = alfa.inbox(), beta.inbox()
    ada.wait(x_ricevuta="avvenuta-consegna", **about)
    uid = bruno.wait(x_trasporto="posta-certificata", **about)
    content = bruno.fetch(uid)
    bruno.close()
    ada.close()
    harness.equal(mark(content), None, "the worst of texts, certified: unmarked, in INBOX, with its receipts")
    harness.verify_signature(content, pair.folder / "ca.pem", pair.folder)
    harness.byte_rule(sent, harness.part_bytes(content, "postacert.eml"))


def envelopes_of_ordinary_mail_are_marked(pair):
    beta = pair.beta
    sent = relay(beta, beta.mailbox, GTUBE)
    content, _ = arrived(beta, beta.mailbox, sent, "Junk")
    header = harness.header_of(content)
    harness.equal(header["X-Trasporto"], "errore", "ordinary mail for a certified mailbox lies in Junk, in its anomaly envelope")
    harness.check(mark(content).startswith("alta"), "  which is marked")
    harness.verify_signature(content, pair.folder / "ca.pem", pair.folder)
    harness.check(True, "  and still signed by the provider (openssl)")
    forged = harness.message(STRANGER, CARLA, text=GTUBE + "\r\n", headers=["X-Trasporto: posta-certificata"])
    beta.relay(forged, STRANGER, [CARLA])
    content, _ = arrived(beta, CARLA, forged, "Junk")
    harness.check(mark(content).startswith("alta"), "what only claims to be certified is marked like all else")


def engines_that_fail_stop_nothing(pair, rspamd):
    beta = pair.beta
    rspamd.stop()
    sent = relay(beta, CARLA, GTUBE)
    content, _ = arrived(beta, CARLA, sent, "INBOX")
    harness.equal(mark(content), None, "rspamd is down: the message is delivered, unmarked")
    for answer, what in [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nspam", "garbage"),
        (b'HTTP/1.1 200 OK\r\nContent-Length: 900\r\nConnection: close\r\n\r\n{"score":', "half an answer"),
        (b"", "no answer"),
    ]:
        parrot = scanners.Parrot(rspamd.port, answer)
        sent = relay(beta, CARLA, GTUBE)
        content, _ = arrived(beta, CARLA, sent, "INBOX")
        parrot.stop()
        harness.check(mark(content) is None and parrot.heard, f"it gives {what}: delivered, unmarked")
    harness.equal(len(events(beta, "spam-unrated", STRANGER)), 4, "the message log has each of the four")
    sent = harness.message(pair.alfa.mailbox, beta.mailbox, subject="Senza motore")
    pair.alfa.submit(sent, [beta.mailbox])
    ada = pair.alfa.inbox()
    ada.wait(x_ricevuta="avvenuta-consegna", x_riferimento_message_id=harness.id_of(sent))
    ada.close()
    harness.check(True, "certified mail is delivered as ever")
    rspamd.start()


def session(beta, user):
    talk = imaplib.IMAP4_SSL("127.0.0.1", beta.ports["imaps"], ssl_context=beta.context(), timeout=60)
    talk.login(user, beta.passwords[user])
    return talk


def move(beta, user, sent, *hops, copy=False):
    """From the first folder to the second and so on, in one session."""
    talk = session(beta, user)
    wanted = f'(HEADER Message-ID "{harness.id_of(sent)}")'
    for source, target in zip(hops, hops[1:]):
        talk.select(source)
        found = lambda: talk.noop() and (talk.uid("SEARCH", None, wanted)[1][0] or b"").decode()
        uid = harness.wait_for(found, f"the message in {source}")
        if copy:
            talk.uid("COPY", uid, target)
            talk.uid("STORE", uid, "+FLAGS", r"(\Deleted)")
            talk.expunge()
        else:
            talk.uid("MOVE", uid, target)
    talk.logout()


def status(beta):
    return json.loads(beta.command("antispam", "status", "--json"))


OFFERS = ["pillole a poco prezzo", "bonus del casino", "hai vinto la lotteria", "orologi imitazione", "prestito immediato", "guadagni da casa"]
WORK = ["verbale del consiglio", "fattura di novembre", "preventivo richiesto", "bozza del contratto", "orario delle lezioni", "convocazione assemblea"]


def offer(n):
    return f"Clicca qui subito: {OFFERS[n % 6]}, offerta irripetibile solo per te, approfitta ora! Codice {n}"


def work(n):
    return f"Buongiorno, in allegato {WORK[n % 6]} di cui si parlava ieri in ufficio. Pratica {n}. Cordiali saluti"


def junk_teaches(beta):
    harness.equal(status(beta), {"spam": 0, "ham": 0, "minimum-lessons": 5, "classifies": False}, "nothing is learned yet")
    bad = [relay(beta, CARLA, offer(n), subject=f"Offerta {n}") for n in range(100, 112)]
    good = [relay(beta, CARLA, work(n), subject=f"Pratica {n}") for n in range(100, 112)]
    for at, sent in enumerate(bad):
        move(beta, CARLA, sent, "INBOX", "Junk", copy=at % 2 == 0)
    harness.wait_for(lambda: status(beta)["spam"] == 12, "twelve lessons", 90)
    harness.check(True, "what is moved or copied into Junk teaches")
    for sent in good:
        move(beta, CARLA, sent, "INBOX", "Junk", "INBOX")
    harness.wait_for(lambda: status(beta)["ham"] == 12, "twelve more", 90)
    harness.check(status(beta)["classifies"], "what is moved there and back teaches that it is wanted")
    taught = status(beta)["spam"]
    sent = relay(beta, CARLA, offer(300), subject="Offerta 300")
    content, _ = arrived(beta, CARLA, sent, "Junk")
    harness.check("engine=builtin" in mark(content), f"a new offer goes into Junk: {mark(content)}")
    sent = relay(beta, CARLA, work(300), subject="Pratica 300")
    content, _ = arrived(beta, CARLA, sent, "INBOX")
    harness.equal(mark(content), None, "a new letter from work does not")
    file = beta.folder / "lesson.eml"
    file.write_bytes(harness.message(STRANGER, CARLA, text=offer(200) + "\r\n"))
    learned = json.loads(beta.command("antispam", "learn", "class=spam", "--file", file, "--json"))
    harness.equal(learned["lesson"], "taken", "an operator teaches by command")
    harness.wait_for(lambda: status(beta)["spam"] == taught + 1, "one lesson more", 60)
    again = json.loads(beta.command("antispam", "learn", "class=spam", "--file", file, "--json"))
    harness.equal(again["lesson"], "known", "  and the same again teaches nothing")


def a_burst_is_told_and_suspended(pair):
    beta = pair.beta
    reading = session(beta, DINO)
    reading.select("INBOX")
    with beta.smtp(DINO) as talk:
        for n in range(6):
            talk.sendmail(DINO, [CARLA], harness.message(DINO, CARLA, subject=f"Raffica {n}"))
        harness.wait_for(lambda: "suspended" in beta.command("mailbox", "list"), "Dino to be suspended")
        try:
            talk.sendmail(DINO, [CARLA], harness.message(DINO, CARLA))
            raise harness.Failure("a suspended mailbox sends on")
        except smtplib.SMTPResponseException as error:
            harness.equal(error.smtp_code, 550, "six messages in an hour where five are usual: suspended, also in the session under way")
    line = next(line for line in beta.command("mailbox", "list").splitlines() if DINO in line)
    harness.check("antispam: 6 messages in an hour (limit 5)" in line, "`sigillo mailbox list` says why")
    try:
        beta.smtp(DINO)
        raise harness.Failure("a suspended mailbox logs in")
    except smtplib.SMTPAuthenticationError:
        harness.check(True, "nobody logs in")
    try:
        reading.uid("FETCH", "1:*", "(BODY[])")
        raise harness.Failure("a suspended mailbox is read on")
    except imaplib.IMAP4.abort:
        harness.check(True, "and whoever was in reads nothing more")
    box = beta.inbox(POSTMASTER)
    uid = box.wait(subject=f"Traffico anomalo in uscita: {DINO} / Unusual outgoing traffic")
    text = box.fetch(uid).decode()
    box.close()
    harness.check("6 messages in an hour (limit 5)" in text and "sospeso" in text, "the postmaster is told")
    harness.equal(len(events(beta, "suspended", DINO)), 1, "the message log has it once")
    sent = relay(beta, DINO, "Ci vediamo domani.", subject="Ancora qui")
    beta.command("mailbox", "enable", DINO)
    content, _ = arrived(beta, DINO, sent, "INBOX")
    harness.check(content, "it received mail all the while, and is open again after `sigillo mailbox enable`")
    told = beta.inbox(DINO)
    told.wait(subject=f"Traffico anomalo in uscita: {DINO} / Unusual outgoing traffic")
    told.close()
    harness.check(True, "and its user was told")


class Mover(threading.Thread):
    """Moves messages from one folder to another, one after the other, until all are there."""

    def __init__(self, beta, sent, source, target):
        super().__init__(daemon=True)
        self.beta, self.left, self.source, self.target = beta, [harness.id_of(one) for one in sent], source, target

    def run(self):
        while self.left:
            try:
                talk = session(self.beta, CARLA)
                talk.select(self.source)
                while self.left:
                    # Of a move that was not answered: it was done, or it is to be done.
                    found = (talk.uid("SEARCH", None, f'(HEADER Message-ID "{self.left[0]}")')[1][0] or b"").decode()
                    if not found or talk.uid("MOVE", found, self.target)[0] == "OK":
                        self.left.pop(0)
                    time.sleep(0.2)
                talk.logout()
            except (OSError, imaplib.IMAP4.error):
                time.sleep(0.05)


def told(beta):
    """How often each note of a message that was moved has been told: a step is recorded in the commit that takes its note."""
    with sqlite3.connect(f"file:{beta.folder}/data/sigillo.db?mode=ro", uri=True) as database:
        return collections.Counter(passage for (passage,) in database.execute("SELECT passage FROM steps WHERE passage LIKE 'refiled.%'"))


def moved_under_kills(beta, chance, sent, source, target):
    mover = Mover(beta, sent, source, target)
    mover.start()
    for _ in range(KILLS // 2):
        time.sleep(chance.uniform(0.0, 1.6))
        beta.kill()
        beta.start()
    mover.join(120)
    harness.check(not mover.left, f"{len(sent)} messages are moved from {source} to {target} while the server dies {KILLS // 2} times")


def lessons_survive_kills(beta, chance):
    beta.command("mailbox", "set", CARLA, "junk-from", "never", "--as", "user")
    before, notes = status(beta), told(beta)
    sent = [relay(beta, CARLA, offer(n), subject=f"Offerta {n}") for n in range(400, 400 + LESSONS)]
    inbox = beta.inbox(CARLA)
    harness.wait_for(lambda: {harness.id_of(one) for one in sent} <= {header["Message-ID"] for header in inbox.headers().values()}, "the messages")
    inbox.close()
    moved_under_kills(beta, chance, sent, "INBOX", "Junk")
    harness.wait_for(lambda: status(beta)["spam"] >= before["spam"] + LESSONS, "the lessons", 120)
    moved_under_kills(beta, chance, sent[: LESSONS // 2], "Junk", "INBOX")
    harness.wait_for(lambda: status(beta)["ham"] >= before["ham"] + LESSONS // 2, "the lessons of the way back", 120)
    new = told(beta) - notes
    harness.equal(set(new.values()), {1}, "each move was told once")
    harness.equal(len(new), LESSONS + LESSONS // 2, "and every one of them")
    after = status(beta)
    counts = {"spam": before["spam"] + LESSONS, "ham": before["ham"] + LESSONS // 2}
    harness.equal({name: after[name] for name in counts}, counts, "the classifier learned as much as without the kills")


class Burst(threading.Thread):
    """Sends one message after the other until it is told that its mailbox may not send, or may not log in."""

    def __init__(self, beta, user):
        super().__init__(daemon=True)
        self.beta, self.user, self.count = beta, user, 0
        self.accepted, self.unsure, self.refused = set(), set(), set()
        self.suspended, self.stop = threading.Event(), threading.Event()

    def run(self):
        while not self.stop.is_set() and not self.suspended.is_set():
            try:
                with self.beta.smtp(self.user) as talk:
                    while not self.stop.is_set():
                        self.send(talk)
            except smtplib.SMTPResponseException as error:
                if error.smtp_code in (535, 550):
                    self.suspended.set()
                time.sleep(0.05)
            except (OSError, smtplib.SMTPException):
                time.sleep(0.05)

    def send(self, talk):
        # A new id for every attempt: the same message submitted twice would rightly be two.
        self.count += 1
        name = f"<{self.count}.{self.user}>"
        self.unsure.add(name)
        try:
            talk.sendmail(self.user, [CARLA], harness.message(self.user, CARLA, subject="Raffica", message_id=name))
            self.accepted.add(name)
        except smtplib.SMTPResponseException:
            self.refused.add(name)
            raise
        self.unsure -= self.accepted | self.refused


def standing(beta, user):
    """What a look from outside finds, whether or not the server runs: suspended, the two records of it, and how many alerts
    for its user have not been delivered yet."""
    suspended = "suspended" in next(line for line in beta.command("mailbox", "list").splitlines() if user in line)
    records = [len(events(beta, kind, user)) for kind in ("suspended", "traffic-anomaly")]
    queue = json.loads(beta.command("queue", "list", "--json"))
    return suspended, records, sum(to["address"] == user for entry in queue for to in entry["recipients"])


def whole_or_nothing(beta, user, must):
    suspended, records, alerts = standing(beta, user)
    if must and not suspended:
        raise harness.Failure(f"{user} was told that it is suspended, and is not any more")
    if records != [int(suspended)] * 2:
        raise harness.Failure(f"{user} is {'' if suspended else 'not '}suspended, and the message log has {records} records of it")
    if alerts > int(suspended):
        raise harness.Failure(f"{user} is {'' if suspended else 'not '}suspended, and {alerts} alerts wait for its user")
    return suspended


def a_burst_survives_kills(beta, chance):
    """AS-05, AS-06: alert and suspension are one commit with the look that found the burst."""
    bursts, kills, between = [], 0, collections.Counter()
    while kills < KILLS:
        burst = Burst(beta, beta.add_mailbox(f"raffica{len(bursts)}@{DOMAIN}"))
        bursts.append(burst)
        burst.start()
        for _ in range(4):
            time.sleep(chance.uniform(0.2, 1.4))
            must = burst.suspended.is_set()
            beta.kill()
            kills += 1
            between[whole_or_nothing(beta, burst.user, must)] += 1
            beta.start()
            if must:
                break
        harness.wait_for(burst.suspended.is_set, f"{burst.user} to be suspended")
        burst.join(60)
        if len(burst.accepted | burst.unsure) <= 5:
            raise harness.Failure(f"{burst.user} was suspended for {len(burst.accepted)} messages where five are usual")
        postmaster = beta.inbox(POSTMASTER)
        postmaster.wait(subject=alert_about(burst.user))
        postmaster.close()
    harness.check(between[True] and between[False], f"{kills} kills, {between[False]} of them before a burst was found out: each time suspension, alert and record, or none of the three")
    judge(beta, bursts)


def alert_about(user):
    return f"Traffico anomalo in uscita: {user} / Unusual outgoing traffic"


def judge(beta, bursts):
    for burst in bursts:
        whole_or_nothing(beta, burst.user, True)
        beta.command("mailbox", "enable", burst.user)
        own = beta.inbox(burst.user)
        own.wait(subject=alert_about(burst.user))
        harness.equal(len(own.find(subject=alert_about(burst.user))), 1, f"{burst.user} is told once")
        own.close()
    postmaster = beta.inbox(POSTMASTER)
    told = [len(postmaster.find(subject=alert_about(burst.user))) for burst in bursts]
    postmaster.close()
    harness.equal(set(told), {1}, "the postmaster once of each")
    accepted = set().union(*(burst.accepted for burst in bursts))
    carla = beta.inbox(CARLA)
    names = lambda: collections.Counter(header["Message-ID"].strip() for header in carla.headers().values() if header["Subject"] == "Raffica")
    harness.wait_for(lambda: accepted <= set(names()) and "raffica" not in beta.command("queue", "list"), "every accepted message")
    arrived = names()
    carla.close()
    harness.equal(set(arrived.values()), {1}, f"of {len(accepted)} accepted messages none is lost, none is doubled")
    unasked = set(arrived) - accepted - set().union(*(burst.unsure for burst in bursts))
    harness.check(not unasked, "and none that was refused was delivered")
    beta.command("log", "verify")


def journey():
    print(f"  SEED={SEED} KILLS={KILLS}", flush=True)
    chance = random.Random(SEED)
    with harness.Pair(start=False) as pair:
        rspamd, spamd = scanners.Rspamd(pair.folder / "rspamd"), scanners.Spamd(pair.folder / "spamd")
        beta = pair.beta
        try:
            rspamd.start()
            spamd.start()
            with open(beta.config, "a") as config:
                config.write(
                    f'scanners:\n  rspamd: {{ protocol: rspamd, address: "127.0.0.1:{rspamd.port}", timeout: 20 }}\n'
                    f'  spamd: {{ protocol: spamd, address: "127.0.0.1:{spamd.port}", timeout: 40 }}\n'
                )
            beta.command("domain", "add", DOMAIN, "--class", "ordinary")
            for address in (CARLA, DINO, POSTMASTER):
                beta.add_mailbox(address)
            rated = Rated(beta, (beta.folder / "policy.yaml").read_text())
            pair.alfa.start()
            rated.obey("engine: scanner\n      scanner: rspamd")
            marked_and_filed(beta, "scanner")
            certified_mail_is_left_alone(pair)
            envelopes_of_ordinary_mail_are_marked(pair)
            engines_that_fail_stop_nothing(pair, rspamd)
            rated.obey("engine: both\n      scanner: spamd")
            marked_and_filed(beta, "scanner")
            rated.obey("engine: builtin")
            junk_teaches(beta)
            certified_mail_is_left_alone(pair)
            a_burst_is_told_and_suspended(pair)
            lessons_survive_kills(beta, chance)
            a_burst_survives_kills(beta, chance)
        finally:
            rspamd.stop()
            spamd.stop()


harness.main(journey)
