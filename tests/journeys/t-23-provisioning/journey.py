"""Mailboxes come and go as a provider's people make them: hundreds from a table, stopped half-way and gone on with; first
passwords that open nothing but their change; suspension, the end of a contract, and deletion when its time has come; a
mailbox that Dovecot kept, brought over message by message though everything is killed meanwhile; and all of it in the
audit trail."""

import imaplib
import json
import os
import random
import re
import shlex
import signal
import smtplib
import subprocess
import time
from pathlib import Path

import harness
from harness import check, equal

ROWS = 240
CUSTOMERS = ["pec.gamma.example", "pec.breve.example"]
MESSAGES = 240
LARGE = 60 * 1024 * 1024


def sigillo(server, *words, stdin=None, ahead=None):
    """`sigillo` with its exit code and what it said; `ahead` as for a server."""
    environment = dict(os.environ)
    if ahead:
        library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        environment |= {"LD_PRELOAD": str(library), "FAKETIME": ahead, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    command = [str(harness.SIGILLO), "--config", str(server.config), *map(str, words)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment)


def begin(server, *words):
    """The same, running."""
    command = [str(harness.SIGILLO), "--config", str(server.config), *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def imap(server, login, password):
    session = imaplib.IMAP4_SSL("127.0.0.1", server.ports["imaps"], ssl_context=server.context(), timeout=120)
    session.login(login, password)
    return session


def refused(server, login, password):
    """Whether neither IMAP nor SMTP lets this login in; what they say."""
    said = []
    try:
        imap(server, login, password).logout()
        return False, said
    except imaplib.IMAP4.error as error:
        said.append(str(error))
    session = smtplib.SMTP_SSL("127.0.0.1", server.ports["submissions"], context=server.context(), timeout=60)
    with session:
        try:
            session.login(login, password)
            return False, said
        except smtplib.SMTPAuthenticationError as error:
            said.append(str(error))
    return True, said


def trail(server, *words):
    return json.loads(server.command("log", "search", "--log", "audit", "--limit", "100000", "--json", *words))


def mailboxes(server):
    return {one["address"] for one in json.loads(server.command("mailbox", "list", "--json"))}


def customer(pair):
    """ADM-01, ADM-02: a customer with its domain, and who administers it."""
    alfa = pair.alfa
    alfa.command("customer", "add", "c-118", "--name", "Comune di Gamma", "--holder", "Ada Rossi", "--expires", "2099-12-31")
    alfa.command("domain", "add", "pec.gamma.example", "--class", "certified", "--customer", "c-118")
    alfa.add_mailbox("officer@pec.gamma.example")
    alfa.command("role", "grant", "officer@pec.gamma.example", "registration-officer", "--customer", "c-118")
    done = sigillo(alfa, "--actor", "officer@pec.gamma.example", "mailbox", "suspend", alfa.mailbox, "--reason", "mine")
    check(done.returncode == 1 and "may not suspend" in done.stderr, "an officer has no power over another customer's mailbox")


def table(pair):
    """ADM-15."""
    alfa, folder = pair.alfa, pair.folder
    file, first = folder / "mailboxes.csv", folder / "first-passwords.csv"
    officer = ["--actor", "officer@pec.gamma.example"]
    rows = [f"utente{n:03}@pec.gamma.example;{n % 5 + 1}00 MB" for n in range(ROWS)]
    bad = ["utente001@pec.gamma.example;1 GB", "utente900@pec.gama.example;", "non un indirizzo;", "x@pec.gamma.example;molto"]
    file.write_text("\n".join(["address;quota", *rows, *bad]) + "\n")
    before = mailboxes(alfa)
    done = sigillo(alfa, *officer, "mailbox", "import-csv", file, "--dry-run", "--report", folder / "r.csv", "--report-form", "csv")
    lines = [int(line) for line in re.findall(rf"^{re.escape(str(file))}:(\d+):", done.stdout, re.M)]
    equal((done.returncode, sorted(lines)), (1, [ROWS + n for n in (2, 3, 4, 5)]), "a dry run tells every mistake with its line")
    check("did you mean pec.gamma.example?" in done.stdout, "and what was meant")
    equal(len((folder / "r.csv").read_text().splitlines()), 5, "the report is a table of them")
    done = sigillo(alfa, *officer, "mailbox", "import-csv", file, "--credentials", first)
    check(done.returncode == 1 and "nothing was added" in done.stdout, "a table with mistakes adds nothing")
    equal((mailboxes(alfa), first.exists()), (before, False), "indeed")

    file.write_text("\n".join(["address;quota", *rows]) + "\n")
    run = begin(alfa, *officer, "mailbox", "import-csv", file, "--credentials", first, "--json")
    harness.wait_for(lambda: len(mailboxes(alfa) - before) > 0 or run.poll() is not None, "the first mailboxes")
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=120)
    report = json.loads(out)
    check(report["stopped"] and 0 < report["added"] < ROWS, f"Ctrl-C stops it after {report['added']} of {ROWS}")
    equal(report["added"] + report["not_reached"], ROWS, "the report has the others")
    equal(len(mailboxes(alfa) - before), report["added"], "what it says is there")
    run = begin(alfa, *officer, "mailbox", "import-csv", file, "--credentials", first)
    harness.wait_for(lambda: len(mailboxes(alfa) - before) > report["added"] or run.poll() is not None, "more mailboxes")
    run.kill()
    run.communicate()
    done = sigillo(alfa, *officer, "mailbox", "import-csv", file, "--credentials", first)
    equal(done.returncode, 0, "killed too, it goes on")
    equal(len(mailboxes(alfa) - before), ROWS, "every row is a mailbox")
    content, state = first.read_text(), mailboxes(alfa)
    equal(first.stat().st_mode & 0o777, 0o600, "the file of passwords is for its owner only")
    words = [line.split(",") for line in content.splitlines()[1:]]
    equal((len(words), len({one[0] for one in words})), (ROWS, ROWS), "one password each, though it was stopped and killed")
    done = sigillo(alfa, *officer, "mailbox", "import-csv", file, "--credentials", first)
    check(done.returncode == 0 and f"{ROWS} there already" in done.stdout and "nothing was changed" in done.stdout, "a second run says that it changes nothing")
    equal((first.read_text(), mailboxes(alfa)), (content, state), "and changes nothing")
    return {one[0]: one[1] for one in words}


def first_password(pair, passwords):
    """ADM-12, ADM-13."""
    alfa = pair.alfa
    for login in random.sample(sorted(passwords), 3):
        closed, said = refused(alfa, login, passwords[login])
        check(closed, f"the first password of {login} opens neither IMAP nor SMTP")
    check("hange" in " ".join(said), "which say that it must be changed")
    change = lambda old, new, **more: sigillo(alfa, "user", "change-password", login, stdin=f"{old}\n{new}\n", **more)
    check(change(passwords[login], "password").returncode == 1, "not to one of those that are tried first")
    check(change("sbagliata davvero", "cavallo batteria").returncode == 1, "nor without the old one")
    equal(change(passwords[login], "cavallo batteria").returncode, 0, "it is changed")
    imap(alfa, login, "cavallo batteria").logout()
    with smtplib.SMTP_SSL("127.0.0.1", alfa.ports["submissions"], context=alfa.context()) as session:
        session.login(login, "cavallo batteria")
    check(refused(alfa, login, passwords[login])[0], "and opens the mailbox, as the first one does no more")
    login = next(one for one in sorted(passwords) if one != login)
    late = sigillo(alfa, "user", "change-password", login, stdin=f"{passwords[login]}\naltro segreto\n", ahead="+73h")
    check(late.returncode == 1 and "its time is over" in late.stderr, "after three days a first password is nothing")


def ends(pair):
    """AS-06, ADM-21 to ADM-26, DOM-08."""
    alfa, beta = pair.alfa, pair.beta
    holder = "utente100@pec.gamma.example"
    alfa.passwords[holder] = "staffa giusta batteria"
    alfa.command("mailbox", "passwd", holder, "--password-stdin", stdin=b"staffa giusta batteria\n")
    imap(alfa, holder, alfa.passwords[holder]).logout()

    def send(what):
        sent = harness.message(alfa.mailbox, holder, subject=what)
        alfa.submit(sent, [holder])
        return harness.id_of(sent)

    def heard(about, kind):
        ada = alfa.inbox()
        ada.wait(x_ricevuta=kind, x_riferimento_message_id=about)
        ada.close()
        return True

    alfa.command("mailbox", "suspend", holder, "--reason", "account compromised")
    check(refused(alfa, holder, alfa.passwords[holder])[0], "who is suspended does not log in")
    check(heard(send("While suspended"), "avvenuta-consegna"), "and receives")
    alfa.command("mailbox", "resume", holder)
    session = imap(alfa, holder, alfa.passwords[holder])
    equal(session.select("INBOX", readonly=True)[1], [b"1"], "which is there when the suspension is over")
    session.logout()

    alfa.command("customer", "add", "c-119", "--name", "Breve S.r.l.", "--expires", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 40 * 86400)))
    alfa.command("domain", "add", "pec.breve.example", "--class", "certified", "--customer", "c-119")
    short = alfa.add_mailbox("unica@pec.breve.example")
    alfa.command("mailbox", "cease", holder, "--reason", "dissolved by letter of 3 May")
    check(refused(alfa, holder, alfa.passwords[holder])[0], "who is ceased does not log in")
    check(heard(send("After the end"), "errore-consegna"), "and does not receive: the sender is told")
    equal(sigillo(alfa, "customer", "cease", "c-119", "--withdrawal", "--reason", "x", "--date", time.strftime("%Y-%m-%d", time.gmtime(time.time() + 10 * 86400))).returncode, 1, "a withdrawal wants its notice")
    dry = json.loads(sigillo(alfa, "customer", "deletions", "--dry-run", "--json").stdout)
    equal(dry["mailboxes"], [], "nothing is deleted before the thirtieth day")
    alfa.stop()
    alfa.start("+31d")
    harness.wait_for(lambda: holder not in mailboxes(alfa), "the mailbox to be deleted")
    check(not refused(alfa, short, alfa.passwords[short])[0], "the other contract runs")
    alfa.stop()
    alfa.start("+41d")
    check(refused(alfa, short, alfa.passwords[short])[0], "a contract that ended closes its mailboxes")
    alfa.command("customer", "cease", "c-119", "--reason", "expired")
    alfa.stop()
    alfa.start("+71d")
    harness.wait_for(lambda: short not in mailboxes(alfa), "the expired one to be deleted")
    harness.wait_for(lambda: "pec.breve.example" not in alfa.command("domain", "list"), "the domain to be no more ours")
    check("c-119" not in alfa.command("customer", "list"), "its customer is gone too")
    alfa.stop()
    alfa.start()
    done = sigillo(alfa, "mailbox", "add", holder)
    check(done.returncode == 1 and "somebody had this address" in done.stderr, "nobody else gets the address")


class Dovecot:
    """Debian's Dovecot over a Maildir++, as a client that is logged in sees it. It listens nowhere: its IMAP speaks with us
    through pipes."""

    def __init__(self, folder):
        self.maildir = folder / "old" / "ada@pec.gamma.example" / "Maildir"
        self.maildir.mkdir(parents=True)
        (folder / "old" / "run").mkdir()
        self.config = folder / "old" / "dovecot.conf"
        self.config.write_text(
            f"base_dir = {folder}/old/run\nstate_dir = {folder}/old/run\nlog_path = {folder}/old/run/log\nssl = no\nfirst_valid_uid = 1\n"
            f"mail_location = maildir:{self.maildir}\nmail_home = {self.maildir.parent}\nstats_writer_socket_path =\n"
        )
        self.command = ["/usr/lib/dovecot/imap", "-c", str(self.config)]
        if os.geteuid() == 0:  # Dovecot keeps no mail of root's
            folder.chmod(0o711)
            for path in [folder / "old", *(folder / "old").rglob("*")]:
                subprocess.run(["chown", "nobody:nogroup", path], check=True)
            self.command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", *self.command]

    def open(self):
        words = ["env", f"USER=ada@pec.gamma.example", f"HOME={self.maildir.parent}", *self.command]
        return imaplib.IMAP4_stream(f"{shlex.join(words)} 2>/dev/null")


FOLDERS = ["Sent", "Archivio.2024.Fatture", "Posta inviata &AOg- &- altro", "&ZeVnLIqe-", "Vuota"]


def fill(dovecot):
    """What years leave in a mailbox."""
    session = dovecot.open()
    for name in FOLDERS:
        equal(session.create(f'"{name}"')[0], "OK", f"Dovecot makes {name}")
    dice = random.Random(23)
    flags = ["", "\\Seen", "\\Seen \\Answered", "\\Flagged Lavoro", "\\Draft", "$Forwarded \\Seen", "\\Deleted", "Urgente Lavoro"]
    for number in range(MESSAGES):
        line = bytes(dice.choices(b"abcdefghij klm\xe8\xe0.", k=dice.choice([78, 900])))
        body = b"\r\n".join([line] * dice.choice([1, 5, 600])) + dice.choice([b"\r\n", b"", b" \r\n\r\n"])
        content = harness.message("eva@example.com", "ada@pec.gamma.example", subject=f"N. {number}", text="") + body
        when = f'"{dice.randint(1, 28):02}-Feb-20{dice.randint(10, 24)} 10:{dice.randint(10, 59)}:07 +0100"'
        place = dice.choice(["INBOX", *FOLDERS[:-1]])
        equal_quietly(session.append(f'"{place}"', f"({dice.choice(flags)})", when, content)[0], "OK")
    session.logout()


def equal_quietly(found, expected):
    if found != expected:
        raise harness.Failure(f"{found!r} instead of {expected!r}")


def content_of(session):
    """{folder: [(SHA-256, size, flags, instant)]} in order of UIDs, as IMAP tells it. Levels are given as '/'."""
    everything = {}
    for line in session.list()[1]:
        separator, name = re.match(rb'\([^)]*\) "(.)" "?(.*?)"?$', line).groups()
        quoted = b'"' + name + b'"'
        status, exists = session.select(quoted.decode(), readonly=True)
        if status != "OK":
            continue
        found = []
        for item in [] if exists == [b"0"] else session.fetch("1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")[1]:
            if isinstance(item, tuple):
                head, body = item
                flags = re.search(rb"FLAGS \(([^)]*)\)", head).group(1).split()
                when = time.mktime(imaplib.Internaldate2tuple(head))
                found.append((harness.sha256(body), len(body), sorted(flag for flag in flags if flag != b"\\Recent"), when))
        everything[name.replace(separator, b"/").decode()] = found
    return everything


def arrived(session):
    """How many messages there are, asked quickly."""
    names = [re.match(rb'.* "/" "?(.*?)"?$', line).group(1) for line in session.list()[1]]
    told = [session.status(b'"' + name + b'"', "(MESSAGES)")[1][0] for name in names]
    return sum(int(re.search(rb"MESSAGES (\d+)", line).group(1)) for line in told)


def brought(pair):
    """MIG-01, MIG-02, MIG-03."""
    alfa = pair.alfa
    dovecot = Dovecot(pair.folder)
    fill(dovecot)
    ada = alfa.add_mailbox("ada@pec.gamma.example")
    done = sigillo(alfa, "mailbox", "import", alfa.mailbox, dovecot.maildir)
    check(done.returncode == 2 and "MIG-02" in done.stderr, "into a mailbox of another name it does not go")
    done = sigillo(alfa, "mailbox", "import", ada, dovecot.maildir, "--dry-run", "--json")
    equal(json.loads(done.stdout)["filed"], MESSAGES, "a dry run counts")

    count = lambda: sum(len(some) for some in ours().values())

    def ours():
        session = imap(alfa, ada, alfa.passwords[ada])
        try:
            return content_of(session)
        finally:
            session.logout()

    equal(count(), 0, "and brings nothing")
    for what in ["the command", "the server"]:
        session = imap(alfa, ada, alfa.passwords[ada])
        before = arrived(session)
        run = begin(alfa, "mailbox", "import", ada, dovecot.maildir)
        harness.wait_for(lambda: arrived(session) > before or run.poll() is not None, "messages to come", pause=0.005)
        if what == "the command":
            run.kill()
            run.communicate()
        else:
            alfa.kill()
            out, _ = run.communicate(timeout=60)
            alfa.start()
        check(True, f"{what} is killed after {count()} messages")
    done = sigillo(alfa, "mailbox", "import", ada, dovecot.maildir, "--json")
    report = json.loads(done.stdout)
    equal((done.returncode, report["filed"] + report["before"], report["problems"]), (0, MESSAGES, []), "the last run brings the rest")

    session = dovecot.open()
    theirs = content_of(session)
    session.logout()
    mine = ours()
    for name, messages in theirs.items():
        equal(mine.get(name), messages, f"{name}: {len(messages)} messages with the same bytes, flags and dates, in the same order") if messages else check(True, f"{name} is empty")
    equal(count(), MESSAGES, "and there are no others")
    again = json.loads(sigillo(alfa, "mailbox", "import", ada, dovecot.maildir, "--json").stdout)
    equal((again["filed"], again["before"], count()), (0, MESSAGES, MESSAGES), "once more brings nothing")

    alfa.stop()
    path = dovecot.maildir / "cur" / "1800000000.M1P1.host:2,S"
    with open(path, "wb") as file:
        file.write(b"Subject: large\n\n")
        for _ in range(LARGE // 61):
            file.write(b"x" * 60 + b"\n")
    broken = dovecot.maildir / "cur" / "1800000001.M1P1.host:2,S"
    broken.symlink_to("/etc/hostname")
    done = sigillo(alfa, "mailbox", "import", ada, dovecot.maildir, "--report", pair.folder / "left.json")
    left = json.loads((pair.folder / "left.json").read_text())
    equal((left["filed"], [one["problem"] for one in left["problems"]]), (1, ["it is not a plain file; links are not followed"]), "without a server too; a link is told and not followed")
    alfa.start()
    equal(count(), MESSAGES + 1, "the server has it after its start")
    alfa.command("mailbox", "quota", ada, str(70 * 1024 * 1024))
    path.rename(dovecot.maildir / "cur" / "1800000002.M1P1.host:2,S")
    before = alfa.memory()[0]
    alfa.forget_peak()
    done = sigillo(alfa, "mailbox", "import", ada, dovecot.maildir)
    check("has no room" in done.stdout, "what the quota does not hold is told")
    alfa.command("mailbox", "quota", ada, str(700 * 1024 * 1024))
    sigillo(alfa, "mailbox", "import", ada, dovecot.maildir)
    grown = alfa.memory()[1] - before
    check(grown < 24 * 1024 * 1024, f"a message of {LARGE >> 20} MiB takes {grown >> 20} MiB of the server's memory")
    equal(count(), MESSAGES + 2, "it comes when there is room")


def recorded(pair, passwords):
    """ORG-03, LOG-23."""
    alfa = pair.alfa
    records = trail(alfa)
    kinds = {}
    for record in records:
        what = record["kind"], record.get("result", "")  # the clock went back too, which has no result
        kinds[what] = kinds.get(what, 0) + 1
    officer = [r for r in trail(alfa, "--sender", "officer@pec.gamma.example") if r["kind"] == "mailbox-add" and r["result"] == "done"]
    equal(len(officer), ROWS, "the trail has every mailbox of the table, by its officer")
    equal(len(trail(alfa, "--sender", "officer@pec.gamma.example", "--kind", "mailbox-suspend")), 1, "and the refusal")
    for what in [("customer-add", "done"), ("domain-add", "done"), ("role-grant", "done"), ("password-change", "done"), ("password-change", "refused"), ("mailbox-suspend", "done"), ("mailbox-resume", "done"), ("mailbox-cease", "done"), ("customer-cease", "done"), ("deletion", "done"), ("mailbox-import", "done"), ("mailbox-quota", "done")]:
        check(kinds.get(what, 0) > 0, f"the trail has {what[0]}: {what[1]}")
    text = json.dumps(records)
    secrets = [*passwords.values(), "cavallo batteria", "staffa giusta batteria", "argon2"]
    check(not any(secret in text for secret in secrets), "and no password")
    alfa.command("log", "seal")
    report = json.loads(alfa.command("log", "verify", "--json"))
    check(report["whole"] and any(chain["stream"] == "audit" for chain in report["chains"]), "log verify finds all three logs whole")
    check(any("audit" in name for name in os.listdir(alfa.folder / "data" / "registro")), "the trail is sealed like the others")


def journey():
    with harness.Pair(start=False) as pair:
        index = pair.folder / "providers.ldif"
        own = "managedDomains: pec.alfa.example\n"
        index.write_text(index.read_text().replace(own, own + "".join(f"managedDomains: {name}\n" for name in CUSTOMERS)))
        pair.alfa.start()
        pair.beta.start()
        customer(pair)
        passwords = table(pair)
        first_password(pair, passwords)
        ends(pair)
        brought(pair)
        recorded(pair, passwords)


harness.main(journey)
