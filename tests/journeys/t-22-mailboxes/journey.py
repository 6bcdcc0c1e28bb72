"""Mailboxes as customers have them: offers and quotas, two operators at one mailbox with ordinary clients, a program that
sends, and a server that finds the mailboxes of its older version. While two operators work the server dies (SIGKILL) again
and again: who has what in charge is one thing in the history, in the keywords and in what they were answered.

    SEED=…  the same moments again (as far as the machine allows)     KILLS=…  another number of times
"""

import collections
import imaplib
import json
import os
import random
import re
import shutil
import smtplib
import sqlite3
import subprocess
import threading
import time

import harness

GIGABYTE = 1024**3
KILLS = int(os.environ.get("KILLS", "30"))
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
OPERATORS = ("bruno.operatore", "carla.operatrice")


def refused(server, status, *words, stdin=None):
    """Runs a command that must fail in this way; returns what it says."""
    command = [str(word) for word in (harness.SIGILLO, "--config", server.config, *words)]
    done = subprocess.run(command, input=stdin, capture_output=True)
    said = (done.stdout + done.stderr).decode()
    harness.equal(done.returncode, status, f"`{' '.join(str(word) for word in words)}` is refused")
    return said


def password_of(provider, login):
    provider.passwords[login] = login[::-1] + "-segreta"
    return (provider.passwords[login] + "\n").encode()


def add(provider, address, *more):
    return provider.command("mailbox", "add", address, *more, "--password-stdin", stdin=password_of(provider, address))


def add_operator(provider, address, login):
    stdin = password_of(provider, login)
    provider.command("user", "add", address, login, "--password-stdin", stdin=stdin)


def client(provider, login):
    session = imaplib.IMAP4_SSL("127.0.0.1", provider.ports["imaps"], ssl_context=provider.context(), timeout=120)
    session.login(login, provider.passwords[login])
    return session


def offers(pair):
    """QUO-01 to QUO-05: what an offer says is what the mailbox is."""
    alfa = pair.alfa
    listed = json.loads(alfa.command("mailbox", "offers", "--json"))
    figures = {name: (offer["kinds"][0], offer["mailbox-gb"], offer.get("settings", {})) for name, offer in listed.items()}

    def sizes(archive, conservation):
        found = {"archive": "on", "archive-size": str(archive)} if archive else {"archive": "off"}
        return found | ({"conservation": "on", "conservation-size": str(conservation)} if conservation else {})

    expected = {
        "smart": ("individual", 1, sizes(0, 0)),
        "pro": ("individual", 5, sizes(5, 0)),
        "plus": ("individual", 5, sizes(10, 0)),
        "aziende": ("multi-user", 5, sizes(5, 5)),
        "aziende-plus": ("multi-user", 5, sizes(10, 10)),
    }
    harness.equal(figures, expected, "the five offers have the figures of the service")
    for name, (kind, gigabytes, _) in expected.items():
        address = f"{name}@{alfa.domain}"
        add(alfa, address, "--offer", name)
        found = next(box for box in json.loads(alfa.command("mailbox", "list", "--json")) if box["address"] == address)
        harness.equal(
            (found["kind"], found["offer"], found["quota"]), (kind, name, gigabytes * GIGABYTE), f"a mailbox of offer {name}"
        )
    words = refused(alfa, 2, "mailbox", "add", f"x@{alfa.domain}", "--offer", "gold")
    harness.check("smart" in words and "aziende-plus" in words, "an unknown offer is refused with those there are")
    words = refused(alfa, 2, "mailbox", "add", f"x@{alfa.domain}", "--offer", "pro", "--kind", "multi-user")
    harness.check("individual" in words, "an offer is for the kinds that it names")
    alfa.command("mailbox", "offer", f"smart@{alfa.domain}", "plus")
    found = next(box for box in json.loads(alfa.command("mailbox", "list", "--json")) if box["address"].startswith("smart@"))
    harness.equal((found["offer"], found["quota"]), ("plus", 5 * GIGABYTE), "a mailbox can have another offer")


def users(pair, office):
    """BOX-01, BOX-02, BOX-04: who may come in."""
    alfa = pair.alfa
    for login in OPERATORS:
        add_operator(alfa, office, login)
    words = refused(alfa, 1, "user", "add", f"pro@{alfa.domain}", "intruso", "--password-stdin", stdin=b"segretissima\n")
    harness.check("only its holder" in words, "an individual mailbox is its holder's alone")
    for number in range(7):
        add_operator(alfa, office, f"operatore{number}")
    words = refused(alfa, 1, "user", "add", office, "undicesimo", "--password-stdin", stdin=b"segretissima\n")
    harness.check("10 users" in words, "a multi-user mailbox has ten users, the holder among them")
    try:
        client_of = imaplib.IMAP4_SSL("127.0.0.1", alfa.ports["imaps"], ssl_context=alfa.context(), timeout=120)
        client_of.login("estraneo", "segretissima")
        raise harness.Failure("a stranger came in")
    except imaplib.IMAP4.error as error:
        harness.check("AUTHENTICATIONFAILED" in str(error), "who was not let in before does not come in")


def settings(pair):
    """PEC-16, ADM-10: settings are what the plugins declare."""
    alfa, address = pair.alfa, f"pro@{pair.alfa.domain}"
    words = refused(alfa, 2, "mailbox", "set", address, "ordinary-male", "reject")
    harness.check("did you mean 'ordinary-mail'" in words, "a setting that no plugin declares is refused with what is near")
    words = refused(alfa, 2, "mailbox", "set", address, "ordinary-mail", "perhaps")
    harness.check("accept or reject" in words, "a value is one of those declared")
    words = refused(alfa, 1, "mailbox", "set", address, "ordinary-mail", "reject", "--as", "user")
    harness.check("administrator" in words, "a user changes what is left to users, and nothing else")
    alfa.command("mailbox", "set", address, "ordinary-mail", "reject")
    rows = {row["name"]: row for row in json.loads(alfa.command("mailbox", "settings", address, "--json"))}
    row = rows["ordinary-mail"]
    harness.equal((row["value"], row["by"], row["plugin"]), ("reject", "administrator", "pec"), "settings say who may change them")


def deliver(pair, office, subject):
    """A certified message for the office; returns its bytes as they lie there."""
    sent = harness.message(pair.beta.mailbox, office, subject=subject)
    pair.beta.submit(sent, [office])
    # The envelope has an id of its own and names the client's.
    return pair.alfa.inbox(office).get(x_trasporto="posta-certificata", x_riferimento_message_id=harness.id_of(sent))


def race(pair, office):
    """BOX-05, BOX-07 to BOX-12: two operators, each with a client of his own."""
    alfa = pair.alfa
    envelope = deliver(pair, office, "Richiesta")
    deliver(pair, office, "Altra richiesta")
    listed = json.loads(alfa.command("mailbox", "messages", office, "--json"))
    harness.equal([(row["number"], row["state"]) for row in listed], [(1, "free"), (2, "free")], "messages are numbered as they come")

    sessions = {login: client(alfa, login) for login in OPERATORS}
    for session in sessions.values():
        session.select("INBOX")
    answers, start = {}, threading.Barrier(2)

    def take(login):
        start.wait()
        answers[login] = sessions[login].store("1", "+FLAGS", "($InCharge)")

    racers = [threading.Thread(target=take, args=[login]) for login in sessions]
    [racer.start() for racer in racers]
    [racer.join() for racer in racers]
    won = [login for login, (status, _) in answers.items() if status == "OK"]
    harness.equal(len(won), 1, "of two operators who take a message at one moment, one has it")
    winner, loser = won[0], next(login for login in sessions if login not in won)
    said = answers[loser][1][0].decode()
    harness.check(said.startswith("[INUSE]") and winner in said, "the other is told who has it")
    mark = f"$InCharge-{winner}".encode()
    seen = lambda: sessions[loser].noop() and mark in sessions[loser].fetch("1", "(FLAGS)")[1][0]
    harness.check(harness.wait_for(seen, "the keyword"), "everybody sees who has it")
    status, _ = sessions[loser].copy("1", "Sent")
    harness.equal(status, "NO", "nobody else copies it")
    status, words = sessions[loser].store("1", "+FLAGS", "(\\Deleted)")
    harness.check(status == "NO" and b"[INUSE]" in words[0], "nobody else marks it deleted")
    _, body = sessions[loser].fetch("1", "(BODY[])")
    harness.equal(body[0][1], envelope, "reading it goes on, byte for byte")

    by_mbsync(pair, office, loser, envelope)

    # BOX-06, BOX-09: the reply goes out as the mailbox, and the log and the history say by whom.
    name = harness.id_of(envelope)
    reply = harness.message(office, pair.beta.mailbox, subject="Re: Richiesta", headers=[f"In-Reply-To: {name}"])
    with alfa.smtp(loser) as session:
        try:
            session.sendmail(office, [pair.beta.mailbox], reply)
            raise harness.Failure("an operator answered what another has in charge")
        except smtplib.SMTPDataError as error:
            harness.equal(error.smtp_code, 550, "nobody answers what another has in charge")
    with alfa.smtp(winner) as session:
        session.sendmail(office, [pair.beta.mailbox], reply)
        try:
            session.sendmail(alfa.mailbox, [pair.beta.mailbox], reply)
            raise harness.Failure("an operator sent as another mailbox")
        except smtplib.SMTPSenderRefused as error:
            harness.check(office.encode() in error.smtp_error, "an operator sends as his mailbox only")
    pair.beta.inbox().wait(x_trasporto="posta-certificata", x_riferimento_message_id=harness.id_of(reply))
    events = json.loads(alfa.command("log", "search", "--message-id", harness.id_of(reply).strip("<>"), "--json"))
    harness.check(winner in json.dumps(events), "the message log says which operator sent it")

    # BOX-12, BOX-08, BOX-10
    sessions[winner].create('"Ufficio legale"')
    status, _ = sessions[winner].uid("MOVE", "1", '"Ufficio legale"')
    harness.equal(status, "OK", "an operator routes what he has in charge")
    sessions[winner].select('"Ufficio legale"')
    status, _ = sessions[winner].store("1", "+FLAGS", "($Completed)")
    harness.equal(status, "OK", "and completes it")
    row = json.loads(alfa.command("mailbox", "messages", office, "--state", "completed", "--json"))[0]
    harness.equal((row["number"], row["folder"], row["charge"]["login"]), (1, "Ufficio legale", winner), "the holder sees it")
    for session in sessions.values():
        session.logout()
    history(pair, office, winner, loser)


def by_mbsync(pair, office, login, envelope):
    """A client that copies everything, as an operator: it reads, and removes nothing here by removing its own copy."""
    alfa, here = pair.alfa, pair.folder / "mbsync"
    shutil.rmtree(here, ignore_errors=True)
    (here / "mail").mkdir(parents=True)
    (here / "rc").write_text(
        f"IMAPAccount a\nHost localhost\nPort {alfa.ports['imaps']}\nUser {login}\nPass {alfa.passwords[login]}\n"
        f"SSLType IMAPS\nSystemCertificates no\nCertificateFile {alfa.ca}\n\nIMAPStore far\nAccount a\n\n"
        f"MaildirStore near\nPath {here}/mail/\nInbox {here}/mail/INBOX\nSubFolders Verbatim\n\n"
        "Channel c\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync All\nExpunge Far\nSyncState *\n"
    )
    mbsync = lambda: subprocess.run(["mbsync", "-q", "-c", str(here / "rc"), "-a"], capture_output=True)
    harness.equal(mbsync().returncode, 0, "mbsync reads the mailbox as an operator")
    files = [path for folder in ("new", "cur") for path in (here / "mail/INBOX" / folder).iterdir()]
    harness.equal(len(files), 2, "it has both messages")
    for path in files:
        path.unlink()
    mbsync()
    numbers = [row["number"] for row in json.loads(alfa.command("mailbox", "messages", office, "--folder", "INBOX", "--json"))]
    harness.equal(numbers, [1, 2], "an operator's client removes nothing")
    inbox = alfa.inbox(office)
    harness.equal(inbox.get(x_trasporto="posta-certificata", message_id=harness.id_of(envelope)), envelope, "not one byte of it")
    inbox.close()


def history(pair, office, winner, loser):
    """BOX-11: every operation, in order, by whom."""
    entries = json.loads(pair.alfa.command("mailbox", "history", office, "1", "--json"))
    of = lambda login: [entry["action"] for entry in entries if entry["login"] == login]
    harness.equal(of(winner), ["take", "reply", "move", "complete"], "the history has every step of who had it")
    harness.equal(set(of(loser)), {"read"}, "and that the other read it")
    moved = next(entry for entry in entries if entry["action"] == "move")
    harness.check("INBOX to Ufficio legale" in moved["detail"], "with where it went")


class Operator(threading.Thread):
    """Takes messages in charge, releases and completes them; knows for certain only what was answered."""

    DOES = {("+FLAGS", "$InCharge"): "take", ("-FLAGS", "$InCharge"): "release", ("+FLAGS", "$Completed"): "complete"}

    def __init__(self, alfa, login, first, chance, stop):
        super().__init__(daemon=True)
        self.alfa, self.login, self.first, self.chance, self.stop = alfa, login, first, chance, stop
        self.done, self.unsure, self.refused, self.wrong = collections.Counter(), collections.Counter(), 0, None

    def run(self):
        while not self.stop.is_set():
            try:
                session = client(self.alfa, self.login)
                session.select("INBOX")
                while not self.stop.is_set():
                    self.work(session)
            except (OSError, imaplib.IMAP4.error):
                time.sleep(0.05)

    def work(self, session):
        session.noop()
        uids = [int(uid) for uid in (session.uid("SEARCH", f"UID {self.first}:*")[1][0] or b"").split()]
        uids = [uid for uid in uids if uid >= self.first]  # `N:*` has the last one always
        if not uids:
            return time.sleep(0.05)
        uid = self.chance.choice(uids)
        # With the answer comes what others changed meanwhile, of any message: the last line about this one counts.
        lines = [line.decode() for line in session.uid("FETCH", str(uid), "(FLAGS)")[1]]
        if f"$InCharge-{self.login}" in [line for line in lines if re.search(rf"UID {uid}\b", line)][-1]:
            self.ask(session, uid, *self.chance.choice([("-FLAGS", "$InCharge"), ("+FLAGS", "$Completed")]))
        else:
            self.ask(session, uid, "+FLAGS", "$InCharge")
        return None

    def ask(self, session, uid, sign, keyword):
        asked = (uid, self.login, self.DOES[sign, keyword])
        self.unsure[asked] += 1
        status, said = session.uid("STORE", str(uid), sign, f"({keyword})")
        self.unsure[asked] -= 1
        if status == "OK":
            self.done[asked] += 1
        elif b"[INUSE]" in said[0]:
            self.refused += 1
        else:
            self.wrong = f"{asked} is answered {status} {said}"


class Correspondent(threading.Thread):
    """Writes to the office; a message counts as accepted only with a 250 in hand."""

    def __init__(self, alfa, office, stop):
        super().__init__(daemon=True)
        self.alfa, self.office, self.stop, self.accepted, self.unsure = alfa, office, stop, set(), set()

    def run(self):
        while not self.stop.is_set():
            sent = harness.message(self.alfa.mailbox, self.office, subject="Pratica")
            try:
                self.alfa.submit(sent, [self.office])
                self.accepted.add(harness.id_of(sent))
            except (OSError, smtplib.SMTPException):
                self.unsure.add(harness.id_of(sent))
            time.sleep(0.3)


def agree(alfa, office, first):
    """BOX-05, BOX-07 to BOX-11, by commands, whether or not the server runs: numbers are without gap, the history alone says
    who has what, and each message's charge and keywords say the same."""
    listed = json.loads(alfa.command("mailbox", "messages", office, "--json"))
    rows = [row for row in listed if row["number"] >= first]
    numbers = [row["number"] for row in rows]
    if numbers != list(range(first, first + len(rows))):
        raise harness.Failure(f"the numbers from {first} on are {numbers}")
    past, state = collections.Counter(), {}
    for entry in json.loads(alfa.command("mailbox", "history", office, "--limit", "100000", "--json")):
        number, login, action = entry["number"], entry["login"], entry["action"]
        if number < first:
            continue
        before = state.get(number, ("free", None))
        good = before[0] != "in-charge" if action == "take" else before == ("in-charge", login)
        if not good:
            raise harness.Failure(f"message {number} is {before}, and {login} {action}s it")
        state[number] = {"take": ("in-charge", login), "release": ("free", None), "complete": ("completed", login)}[action]
        past[number, login, action] += 1
    marks = {"free": lambda _: set(), "in-charge": lambda login: {"$InCharge", f"$InCharge-{login}"}, "completed": lambda _: {"$Completed"}}
    for row in rows:
        word, login = state.get(row["number"], ("free", None))
        charge = row["charge"]["login"] if row["charge"] else None
        keywords = {flag for flag in row["flags"] if flag.startswith(("$InCharge", "$Completed"))}
        if (row["state"], charge, keywords) != (word, login, marks[word](login)):
            raise harness.Failure(f"message {row['number']}: the history says {word} {login}, the mailbox {row}")
    return rows, past


def killed(pair, office, chance):
    """Between any two of these the server may have died: it is before or after, for the history, the keywords, the numbers
    and whoever was answered."""
    alfa, stop = pair.alfa, threading.Event()
    listed = json.loads(alfa.command("mailbox", "messages", office, "--json"))
    first = max(row["number"] for row in listed) + 1
    with client(alfa, office) as session:
        session.select("INBOX", readonly=True)
        uid_next = int(session.response("UIDNEXT")[1][0])
    operators = [Operator(alfa, login, uid_next, random.Random(chance.random()), stop) for login in OPERATORS]
    correspondent = Correspondent(alfa, office, stop)
    for thread in [*operators, correspondent]:
        thread.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 0.8))
        alfa.kill()
        agree(alfa, office, first)
        alfa.start()
    time.sleep(1)
    stop.set()
    for thread in [*operators, correspondent]:
        thread.join(130)
    wrong = [operator.wrong for operator in operators if operator.wrong]
    harness.check(not wrong, f"nobody is refused what he may do {wrong}")
    inbox = alfa.inbox(office)
    named = lambda: collections.Counter((header["X-Riferimento-Message-ID"] or "").strip() for header in inbox.headers().values())
    harness.wait_for(lambda: correspondent.accepted <= set(named()) and not waits(alfa, office), "the mail for the office")
    rows, past = agree(alfa, office, first)
    harness.check(len(rows) > 5, f"{KILLS} kills; {len(rows)} messages came meanwhile, numbered without gap or double")
    harness.check(sum(past.values()) > KILLS, f"{sum(past.values())} times a message was taken, released or completed: history, charge and keywords agree after each kill")
    refused = sum(operator.refused for operator in operators)
    harness.check(refused, f"{refused} times an operator met what the other had: nobody got it from him")
    number = {row["uid"]: row["number"] for row in rows}
    for operator in operators:
        for (uid, login, action), times in (operator.done + operator.unsure).items():
            sure, noted = operator.done[uid, login, action], past[number[uid], login, action]
            if not sure <= noted <= times:
                raise harness.Failure(f"{login} was answered {sure} times that he {action}s {number[uid]}; the history has it {noted} times")
    harness.check(True, "what an operator was answered stands in the history, as often")
    came = {name: count for name, count in named().items() if name in correspondent.accepted | correspondent.unsure}
    harness.equal(set(came.values()), {1}, "each accepted message is there once")
    for uid, flags in flags_of(inbox).items():
        row = next((row for row in rows if row["uid"] == uid), None)
        if row and flags != {flag for flag in row["flags"] if flag.startswith("$")}:
            raise harness.Failure(f"message {row['number']}: a client sees {flags}")
    harness.check(True, "and a client sees the same keywords")
    inbox.close()


def waits(provider, address):
    queue = json.loads(provider.command("queue", "list", "--json"))
    return any(to["address"] == address for entry in queue for to in entry["recipients"])


def flags_of(inbox):
    """{UID: keywords with a dollar}"""
    _, answer = inbox.open().uid("FETCH", "1:*", "(FLAGS)")
    lines = [line.decode() for line in answer]
    return {int(re.search(r"UID (\d+)", line).group(1)): set(re.findall(r"\$[^ ()]+", line)) for line in lines}


def holder(pair, office):
    """BOX-03: the holder takes over, and it is written down."""
    alfa = pair.alfa
    alfa.command("mailbox", "take", office, "2", "--user", "bruno.operatore")
    words = refused(alfa, 1, "mailbox", "take", office, "2", "--user", "carla.operatrice")
    harness.check("in charge of bruno.operatore" in words, "an operator waits")
    with client(alfa, office) as session:
        session.select("INBOX")
        status, words = session.store("1", "+FLAGS", "(\\Deleted)")
        harness.check(status == "NO" and b"[INUSE]" in words[0], "even the holder changes nothing under an operator")
        harness.equal(session.store("1", "+FLAGS", "($InCharge)")[0], "OK", "the holder takes it from him")
        harness.equal(session.store("1", "+FLAGS", "(\\Deleted)")[0], "OK", "then he may do everything")
        session.store("1", "-FLAGS", "(\\Deleted)")
    entries = json.loads(alfa.command("mailbox", "history", office, "2", "--json"))
    taken = [entry for entry in entries if entry["login"] == office and entry["action"] == "take"]
    harness.equal([entry["detail"] for entry in taken], ["taken from bruno.operatore"], "which the history tells")
    alfa.command("mailbox", "complete", office, "2")
    alfa.command("user", "remove", "bruno.operatore")
    try:
        client(alfa, "bruno.operatore")
        raise harness.Failure("a removed operator came in")
    except imaplib.IMAP4.error:
        harness.check(True, "a removed operator does not come in")


def over_quota(pair):
    """QUO-01, BOX-01: a full mailbox: warned before, then a notice of non-delivery to the sender."""
    alfa, beta = pair.alfa, pair.beta
    address = f"piena@{alfa.domain}"
    add(alfa, address, "--quota", str(200_000))
    text = ("x" * 76 + "\r\n") * 800
    first = harness.message(beta.mailbox, address, subject="Prima", text=text)
    beta.submit(first, [address])
    inbox = alfa.inbox(address)
    inbox.wait(x_trasporto="posta-certificata", x_riferimento_message_id=harness.id_of(first))
    used = next(box for box in json.loads(alfa.command("mailbox", "list", "--json")) if box["address"] == address)["used"]
    alfa.command("mailbox", "quota", address, str(used * 2 + used // 10))
    second = harness.message(beta.mailbox, address, subject="Seconda", text=text)
    beta.submit(second, [address])
    warned = harness.wait_for(
        lambda: [head["Subject"] for head in inbox.headers().values() if "% full" in (head["Subject"] or "")], "a warning"
    )
    harness.equal(len(warned), 1, "the holder is told before the mailbox is full")
    session = inbox.open()
    _, answer = session.getquotaroot("INBOX")
    harness.check(re.search(rb"STORAGE \d+ \d+", answer[1][0]), "a client shows how full it is")
    third = harness.message(beta.mailbox, address, subject="Terza", text=text)
    beta.submit(third, [address])
    notice = beta.inbox().get(x_ricevuta="errore-consegna", x_riferimento_message_id=harness.id_of(third))
    harness.check(b"mancata consegna" in notice.lower(), "the sender has a notice of non-delivery")
    try:
        answer = session.append("Sent", "", None, third)[0]
    except imaplib.IMAP4.error as error:
        answer = str(error)
    harness.equal(answer, "NO", "nothing can be filed in it either")
    inbox.close()


def sends(pair):
    """BOX-13, BOX-14: a program sends through its mailbox, so many a day."""
    alfa, address = pair.alfa, f"fatture@{pair.alfa.domain}"
    add(alfa, address, "--kind", "application", "--daily-sends", "5")
    to = [pair.beta.mailbox]
    for number in range(4):
        alfa.submit(harness.message(address, to, subject=f"Fattura {number}"), to, address)
    with alfa.smtp(address) as session:
        both = [pair.beta.mailbox, alfa.mailbox]
        try:
            session.sendmail(address, both, harness.message(address, both, subject="Troppe"))
            raise harness.Failure("more was taken than the mailbox may send")
        except smtplib.SMTPDataError as error:
            harness.check(error.smtp_code == 450 and b"5 recipients a day" in error.smtp_error, "what is too much for today waits")
        session.sendmail(address, to, harness.message(address, to, subject="Fattura 5"))
        try:
            session.sendmail(address, to, harness.message(address, to, subject="Fattura 6"))
            raise harness.Failure("more was taken than the mailbox may send")
        except smtplib.SMTPSenderRefused as error:
            harness.equal(error.smtp_code, 450, "then it is refused at its beginning")
    alfa.command("mailbox", "daily-sends", address, "0")
    alfa.submit(harness.message(address, to, subject="Fattura 7"), to, address)
    harness.check(True, "and without a limit it sends again")
    receipts = alfa.inbox(address)
    harness.wait_for(lambda: len(receipts.find(x_ricevuta="accettazione")) == 6, "six receipts")
    receipts.close()


def older_store(pair, office):
    """A store that the version before this one left: mailboxes, passwords and mail are there, each message with a number."""
    alfa = pair.alfa
    # What is still on its way (receipts of what was sent before, between the two and back) would be filed between two looks.
    empty = lambda provider: json.loads(provider.command("queue", "list", "--json")) == []
    harness.wait_for(lambda: all(empty(provider) for provider in (alfa, pair.beta) * 2), "both queues to be empty")
    before = json.loads(alfa.command("mailbox", "list", "--json"))
    inbox = alfa.inbox(office)
    mail = {uid: harness.sha256(inbox.fetch(uid)) for uid in inbox.headers()}
    inbox.close()
    alfa.stop()
    database = sqlite3.connect(alfa.folder / "data" / "sigillo.db")
    database.executescript(
        """
        PRAGMA foreign_keys=OFF;
        ALTER TABLE accounts ADD COLUMN credential TEXT NOT NULL DEFAULT '';
        UPDATE accounts SET credential = (SELECT credential FROM users WHERE login = address);
        DROP TABLE users; DROP TABLE charges; DROP TABLE message_history; DROP TABLE message_names; DROP TABLE daily_sends;
        ALTER TABLE accounts DROP COLUMN kind; ALTER TABLE accounts DROP COLUMN offer;
        ALTER TABLE accounts DROP COLUMN daily_sends; ALTER TABLE accounts DROP COLUMN next_number;
        ALTER TABLE accounts DROP COLUMN warned; ALTER TABLE items DROP COLUMN number;
        UPDATE meta SET value = '1' WHERE name = 'schema_version';
        """
    )
    database.close()
    alfa.start()
    after = json.loads(alfa.command("mailbox", "list", "--json"))
    keep = lambda boxes: [(box["address"], box["state"], box["quota"], box["used"]) for box in boxes]
    harness.equal(keep(after), keep(before), "every mailbox of an older store is there")
    inbox = alfa.inbox(office)
    found = {uid: harness.sha256(inbox.fetch(uid)) for uid in inbox.headers()}
    inbox.close()
    harness.equal(found, mail, "its holder logs in by the same password and finds every message (SHA-256)")
    numbers = [row["number"] for row in json.loads(alfa.command("mailbox", "messages", office, "--json"))]
    harness.check(numbers and numbers == sorted(set(numbers)), "each message has a number of its own")


def journey():
    print(f"  SEED={SEED} KILLS={KILLS}", flush=True)
    with harness.Pair() as pair:
        office = f"ufficio@{pair.alfa.domain}"
        offers(pair)
        add(pair.alfa, office, "--offer", "aziende")
        users(pair, office)
        settings(pair)
        race(pair, office)
        killed(pair, office, random.Random(SEED))
        holder(pair, office)
        over_quota(pair)
        sends(pair)
        older_store(pair, office)


harness.main(journey)
