"""Copies of certified mail go to an ordinary provider, which checks SPF; reports about them end here; circles end; and what
other servers can prove of themselves is found out at the door."""

import email
import email.policy
import json
import smtplib
import subprocess
import time
from pathlib import Path

import harness

FORWARDS = "fwd.beta.example"
# Queue entries that Beta works on at once, and copies at once on their way to the ordinary provider.
PLACES = 2
ORDINARY = "posta.beta.example"
PLUGIN = """\
  forwarding:
    component: forwarding@0.1
    config: {{ domain: {domain}, failures: 3 }}
    grants:
      submit: {{ from: ["SRS0=*@{domain}"] }}
      receive: ["SRS0=*@{domain}", inoltro@{domain}]
      mac: true
      mailboxes: read
      directory: read
      state: true
      evidence: true
"""
FIRST = """\
  - name: reports-of-forwards
    stage: reception
    when: { recipient.plugin: forwarding }
    steps: [{ plugin: forwarding, on-failure: defer, may: [discard] }]
  - name: notices-of-forwards
    stage: reception
    when: { made.by: forwarding }
    steps: []
"""
LAST = """
  - name: after-filing
    stage: stored
    steps: [{ plugin: forwarding, on-failure: defer }]
"""


class Resolver:
    """A dnsmasq with the zones of this journey."""

    def __init__(self, port, records):
        self.port, self.records, self.process = port, records, None

    def start(self):
        words = [f"--txt-record={name}," + ",".join(pieces(text)) for name, text in self.records]
        command = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", f"--port={self.port}", "--listen-address=127.0.0.1"]
        command += ["--bind-interfaces", "--no-resolv", "--no-hosts", "--local=/example/", "--user=root", "--pid-file="]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command + words, **quiet)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(10)
            self.process = None


def pieces(text):
    return [text[at : at + 200] for at in range(0, len(text), 200)]


class Destination:
    """The ordinary provider."""

    def __init__(self, python, port, resolver, folder):
        self.command = [python, Path(__file__).parent / "destination.py", str(port), str(resolver), folder]
        self.folder, self.process = folder, None
        folder.mkdir()
        self.mode("ok")
        self.circles({})

    def mode(self, word):
        (self.folder / "mode").write_text(word)

    def circles(self, which):
        (self.folder / "circles.json").write_text(json.dumps(which))

    def start(self):
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log)
        if b"ready" not in self.process.stdout.readline():
            raise harness.Failure(f"the ordinary provider did not start: {(self.folder / 'log').read_text()[-1000:]}")

    def stop(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self.process = None

    def taken(self, to=None):
        """[(facts, bytes)] of what it took, in order."""
        numbers = sorted(int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdigit())
        found = [(json.loads((self.folder / f"{n}.json").read_text()), (self.folder / f"{n}.eml").read_bytes()) for n in numbers]
        return [(facts, content) for facts, content in found if to is None or to in facts["to"]]


def parsed(content):
    return email.message_from_bytes(content, policy=email.policy.default)


def report(address, code="5.1.1", action="failed"):
    """A report of failure as Postfix writes it (RFC 3464)."""
    return (
        f"From: MAILER-DAEMON@mx.mail.example\r\nTo: {address}\r\nSubject: Undelivered Mail Returned to Sender\r\n"
        "Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/report; report-type=delivery-status; boundary="b"\r\n\r\n--b\r\n\r\nSorry.\r\n--b\r\n'
        "Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.mail.example\r\n\r\n"
        f"Final-Recipient: rfc822; x@mail.example\r\nAction: {action}\r\nStatus: {code}\r\n\r\n--b--\r\n"
    ).encode()


def settled(provider):
    """Whether the queue of a provider is empty."""
    return not json.loads(provider.command("queue", "list", "--json"))


def status(provider):
    return json.loads(provider.command("forwarding", "status", "--json"))["forwards"]


def events(provider, kind):
    return json.loads(provider.command("log", "search", "--kind", kind, "--json"))


def certified(pair, subject):
    """Ada writes to Bruno; returns what she sent when it is in his mailbox and she has her receipt."""
    sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox, subject=subject)
    pair.alfa.submit(sent, [pair.beta.mailbox])
    ada = pair.alfa.inbox()
    ada.wait(x_ricevuta="avvenuta-consegna", x_riferimento_message_id=harness.id_of(sent))
    ada.close()
    return sent


def envelope_of(pair, sent):
    """The transport envelope in Bruno's mailbox, as bytes."""
    bruno = pair.beta.inbox()
    found = [bruno.fetch(uid) for uid in bruno.find(x_trasporto="posta-certificata")]
    bruno.close()
    about = harness.id_of(sent).encode()
    return next(content for content in found if about in content)


def choose(provider, value):
    provider.command("mailbox", "set", provider.mailbox, "forward-to", value, "--as", "user")


def refused(provider, value, what):
    words = [harness.SIGILLO, "--config", provider.config, "mailbox", "set", provider.mailbox, "forward-to", value, "--as", "user"]
    harness.check(subprocess.run(words, capture_output=True).returncode != 0, what)


def copies_are_what_was_received(pair, destination):
    allow = lambda word: pair.beta.command("mailbox", "set", pair.beta.mailbox, "forwarding", word)
    refused(pair.beta, "bruno@mail.example", "without the administrator's leave the user cannot choose (ADM-10)")
    allow("allowed")
    refused(pair.beta, "a@b.it,c@d.it,e@f.it", "a third address is refused (FWD-02)")
    choose(pair.beta, "bruno@mail.example, carla@mail.example")
    allow("denied")
    certified(pair, "Primo")
    harness.equal(destination.taken(), [], "nor is anything forwarded when the leave is taken back")
    allow("allowed")
    sent = certified(pair, "Fattura n. 7")
    copies = harness.wait_for(lambda: len(destination.taken()) == 2 and destination.taken(), "two copies")
    harness.equal(sorted(facts["to"][0] for facts, _ in copies), ["bruno@mail.example", "carla@mail.example"], "one for each address (FWD-01, FWD-04)")
    envelope = envelope_of(pair, sent)
    for facts, copy in copies:
        harness.equal(facts["spf"], "pass", f"pyspf at the ordinary provider: pass for {facts['from']}")
        harness.check(facts["from"].startswith("SRS0=") and pair.alfa.domain not in facts["from"], "the return address is ours, without the sender's")
        message = parsed(copy)
        text = message.get_body(("plain",)).get_content()
        harness.check("NON HA VALORE LEGALE" in text and "NO LEGAL VALUE" in text and "Buongiorno." in text, "it says that it has no legal value, and what the original says (FWD-03)")
        harness.check(message["Subject"].startswith("I: POSTA CERTIFICATA: Fattura"), "subject")
        harness.equal(message["From"].addresses[0].addr_spec, f"inoltro@{FORWARDS}", "from an address of ours")
        inside = harness.part_bytes(copy, "messaggio.eml")
        filed = envelope.partition(b"\r\n")[2] if envelope.startswith(b"Return-Path") else envelope
        inside = inside if inside.endswith(b"\r\n") else inside + b"\r\n"
        harness.equal(harness.sha256(inside), harness.sha256(filed), "the message inside is the one in the mailbox (SHA-256)")
        harness.verify_signature(inside, pair.folder / "ca.pem", pair.folder)
        harness.check(True, "openssl verifies its signature")
    harness.equal(len(events(pair.beta, "forwarded")), 2, "both are in the message log")
    harness.check("Authentication-Results" not in harness.header_of(envelope), "certified mail is not altered by the checks at the door")
    return copies


def reports_end_here(pair, destination, copies):
    address = copies[0][0]["from"]
    before = len(destination.taken())
    pair.beta.relay(report(address), "", [address])
    harness.wait_for(lambda: any(f["failures"] == 1 for f in status(pair.beta)), "the report to be counted")
    pair.beta.relay(report(address, "4.4.1", "delayed"), "", [address])
    pair.beta.relay(report(address, "5.3.4"), "", [address])
    harness.wait_for(lambda: len(events(pair.beta, "discarded")) >= 3, "all reports to be taken")
    harness.equal(sum(f["failures"] for f in status(pair.beta)), 1, "a delay and a size are no failures of the address")
    ada, bruno = pair.alfa.inbox(), pair.beta.inbox()
    for inbox, who in ((ada, "the sender"), (bruno, "the mailbox")):
        subjects = [str(header["Subject"]) for header in inbox.headers().values()]
        harness.check(not any("Undelivered" in subject for subject in subjects), f"no report reaches {who}")
        inbox.close()
    harness.equal(len(destination.taken()), before, "nor anybody else")
    carla = f"carla@{ORDINARY}"
    pair.beta.submit(harness.message(carla, [address, carla], subject="To both"), [address, carla], user=carla)
    inbox = pair.beta.inbox(carla)
    harness.wait_for(lambda: [h for h in inbox.headers().values() if h["Subject"] == "To both"], "the mailbox's copy")
    inbox.close()
    harness.check(True, "a user's message to such an address and to a mailbox: the mailbox has it")
    harness.equal(sum(f["failures"] for f in status(pair.beta)), 1, "and it counts for nothing")
    digit = address[5]
    forged = address.replace(f"SRS0={digit}", f"SRS0={'0' if digit != '0' else '1'}", 1)
    with smtplib.SMTP("127.0.0.1", pair.beta.ports["relay"], timeout=60) as session:
        session.ehlo("mx.mail.example")
        session.starttls(context=pair.beta.context())
        session.ehlo("mx.mail.example")
        code = lambda *answer: answer[0][0]
        try:
            session.sendmail("", [forged], report(forged))
            raise harness.Failure("a forged tag was taken")
        except smtplib.SMTPDataError as error:
            harness.equal(error.smtp_code, 550, "a forged tag is refused")
        session.rset()
        try:
            session.sendmail("person@mail.example", [address], harness.message("person@mail.example", address))
            raise harness.Failure("a person's mail was taken as a report")
        except smtplib.SMTPDataError as error:
            harness.equal(error.smtp_code, 550, "what a person writes there is refused with words")
        session.rset()
        session.mail("")
        harness.equal(code(session.rcpt(address)), 250, "an address of the plugin")
        harness.equal(code(session.rcpt(f"carla@{ORDINARY}")), 451, "and a mailbox need transactions of their own")
        harness.equal(code(session.rcpt("bruno@mail.example")), 550, "nothing is relayed to others")
        session.rset()
        session.mail("")
        harness.equal(code(session.rcpt(f"nobody@{FORWARDS}")), 550, "and only these addresses are there")
        session.rset()


def faults(pair, destination):
    choose(pair.beta, "carla@mail.example")
    have = lambda: len(destination.taken("carla@mail.example"))
    before = have()
    destination.stop()
    certified(pair, "While the other side is down")
    harness.wait_for(lambda: not settled(pair.beta), "the copy to wait in the queue")
    pair.beta.kill()
    pair.beta.start()
    destination.start()
    harness.wait_for(lambda: have() == before + 1 and settled(pair.beta), "the copy that waited over a power cut")
    harness.equal(have(), before + 1, "the other side down, and a power cut: the message was in the mailbox at once, the copy came once")
    destination.mode("garbage")
    certified(pair, "While the other side talks nonsense")
    time.sleep(1)  # some attempts end in nonsense
    harness.check(not settled(pair.beta), "an answer that is none leaves the copy in the queue")
    destination.mode("ok")
    harness.wait_for(lambda: have() == before + 2 and settled(pair.beta), "the copy after the nonsense")
    destination.mode("drop")
    certified(pair, "Taken without an answer")
    harness.wait_for(lambda: have() >= before + 3, "a copy without an answer")
    destination.mode("ok")
    harness.wait_for(lambda: settled(pair.beta), "the queue to settle")
    ids = [harness.id_of(content) for _, content in destination.taken("carla@mail.example")][before + 2 :]
    harness.equal(len(set(ids)), 1, f"taken without an answer: {len(ids)} attempts, one and the same message (RFC 1047)")
    harness.equal(len(events(pair.beta, "forwarded")), 2 + 3, "no copy was made twice")


def slow(pair, destination):
    """Each message that is sent here needs a place at Beta for itself, for its receipts and for what it makes."""
    choose(pair.beta, "slow@mail.example")
    have = lambda: [harness.id_of(content) for _, content in destination.taken("slow@mail.example")]
    for mode, what in (("slow", "gives no answer"), ("drip", "drips its answer")):
        before = len(have())
        destination.mode(mode)
        for number in range(PLACES):
            certified(pair, f"To one who {what} {number}")
        harness.wait_for(lambda: len(have()) == before + PLACES, "every place at the other side to be taken")
        certified(pair, f"While it {what}")
        harness.equal(len(have()), before + PLACES, f"the other side {what}: certified mail goes on, with its receipts, and another copy waits for a place")
        destination.mode("ok")
        harness.wait_for(lambda: len(have()) == before + PLACES + 1 and settled(pair.beta), "all copies")
        harness.equal(len(set(have())), len(have()), "every copy came, and came once")
    before = len(have())
    destination.mode("slow")
    certified(pair, "Taken while we stop")
    harness.wait_for(lambda: len(have()) == before + 1, "a copy without an answer")
    harness.equal(pair.beta.stop(), 0, "a server that waits for an answer stops all the same")
    destination.mode("ok")
    pair.beta.start()
    harness.wait_for(lambda: len(have()) == before + 2 and settled(pair.beta), "the copy that had no answer")
    harness.equal(len(set(have()[before:])), 1, "and sends what had no answer again: the same message (RFC 1047)")


def suspended_and_resumed(pair, destination):
    choose(pair.beta, "gone@mail.example")
    for number in range(4):
        certified(pair, f"To nobody {number}")
        harness.wait_for(lambda: settled(pair.beta), "the report to come home")
    forward = next(f for f in status(pair.beta) if f["to"] == "gone@mail.example")
    harness.equal((forward["failures"], forward["suspended"]["word"], forward["sent"]), (3, "failures", 3), "three failures suspend the forward, and the fourth message is not copied")
    bruno = pair.beta.inbox()
    subjects = {uid: str(header["Subject"]) for uid, header in bruno.headers().items()}
    notices = [bruno.fetch(uid) for uid, subject in subjects.items() if "Inoltro sospeso" in subject]
    bruno.close()
    harness.equal(len(notices), 1, "the user is told once, in the mailbox")
    text = parsed(notices[0]).get_content()
    harness.check("gone@mail.example" in text and "5.1.1" in text and "sospeso" in text, "with the address and the reason")
    harness.check(not any("ANOMALIA" in subject for subject in subjects.values()), "and nothing of it is an anomaly")
    answer = json.loads(pair.beta.command("forwarding", "resume", f"mailbox={pair.beta.mailbox}", "--json"))
    harness.equal(answer["resumed"], ["gone@mail.example"], "an operator lets it go on")
    harness.equal([f["suspended"] for f in status(pair.beta) if f["to"] == "gone@mail.example"], [None], "and it does")


def circles_end(pair, destination):
    for provider, other in ((pair.alfa, "to-beta"), (pair.beta, "to-alfa")):
        provider.command("mailbox", "set", provider.mailbox, "forwarding", "allowed")
        choose(provider, f"{other}@mail.example")
    destination.circles({
        "to-alfa@mail.example": [pair.alfa.ports["relay"], pair.alfa.mailbox],
        "to-beta@mail.example": [pair.beta.ports["relay"], pair.beta.mailbox],
    })
    before = len(destination.taken())
    certified(pair, "Round and round")
    loops = lambda: len(events(pair.alfa, "forward-loop")) + len(events(pair.beta, "forward-loop"))
    harness.wait_for(lambda: loops() >= 3, "the circle to be noticed")
    quiet = lambda: settled(pair.alfa) and settled(pair.beta)
    harness.wait_for(quiet, "both queues to be empty")
    count = len(destination.taken())
    time.sleep(2)
    harness.check(quiet() and len(destination.taken()) == count, f"two providers that forward to each other: it ends, after {count - before} copies")
    ways = [facts["to"][0] for facts, _ in destination.taken()][before:]
    harness.check(max(ways.count("to-alfa@mail.example"), ways.count("to-beta@mail.example")) <= 4, "each message went each way once")
    for provider in (pair.alfa, pair.beta):
        provider.command("mailbox", "unset", provider.mailbox, "forward-to")


def results(pair, subject):
    """The Authentication-Results fields of a message in Carla's mailbox."""
    carla = pair.beta.inbox(f"carla@{ORDINARY}")
    uid = harness.wait_for(lambda: [u for u, h in carla.headers().items() if h["Subject"] == subject], subject)[0]
    content = carla.fetch(uid)
    carla.close()
    return [" ".join(str(value).split()) for value in parsed(content).get_all("Authentication-Results", [])], content


def senders_are_checked(pair, resolver, signed):
    to = f"carla@{ORDINARY}"
    make = lambda sender, subject, *more: harness.message(sender, to, subject=subject, headers=more)
    pair.beta.relay(make("x@good.example", "good"), "x@good.example", [to])
    found, content = results(pair, "good")
    harness.check(len(found) == 1 and "spf=pass" in found[0] and "dmarc=pass" in found[0] and "dkim=none" in found[0], f"SPF and DMARC pass: {found[0]}")
    harness.check(content.index(b"Authentication-Results") < content.index(b"Received:"), "above the trace of this server")
    pair.beta.relay(signed(make("x@signed.example", "signed")), "bounce@elsewhere.example", [to])
    found, _ = results(pair, "signed")
    harness.check("dkim=pass" in found[0] and "signed.example" in found[0] and "dmarc=pass" in found[0], f"a signature by dkimpy passes, and DMARC by it: {found[0]}")
    pair.beta.relay(signed(make("x@signed.example", "altered")).replace(b"Buongiorno", b"Buonasera!"), "x@bad.example", [to])
    found, _ = results(pair, "altered")
    harness.check("spf=fail" in found[0] and "dkim=pass" not in found[0] and "dmarc=fail" in found[0] and "policy.dmarc=reject" in found[0], f"one word altered: {found[0]}")
    lies = ["Authentication-Results: mail.beta.example; spf=pass; dkim=pass", "authentication-results: MAIL.beta.example 1;\r\n\tdmarc=pass", "Authentication-Results: mx.other.example; spf=pass"]
    pair.beta.relay(make("x@bad.example", "liar", *lies), "x@bad.example", [to])
    found, _ = results(pair, "liar")
    harness.check(len(found) == 2 and "spf=fail" in found[0] and found[1].startswith("mx.other.example"), "what somebody says in our name is taken out, another's stays")
    resolver.stop()
    began = time.monotonic()
    pair.beta.relay(make("x@unknown.example", "no resolver"), "x@unknown.example", [to])
    seconds = time.monotonic() - began
    found, _ = results(pair, "no resolver")
    harness.check("spf=temperror" in found[0], f"no resolver: taken after {seconds:.1f} s, with what is not known: {found[0]}")
    resolver.start()


def signer(python, folder):
    """A key for dkimpy, what to publish of it, and how to sign with it."""
    key = folder / "dkim.key"
    harness.run("openssl", "genrsa", "-traditional", "-out", key, "2048")
    public = harness.run("openssl", "rsa", "-in", key, "-pubout", "-outform", "DER")
    import base64

    script = "import sys, dkim; m = sys.stdin.buffer.read(); sys.stdout.buffer.write(dkim.sign(m, b's', b'signed.example', open(sys.argv[1], 'rb').read(), include_headers=[b'from', b'to', b'subject']) + m)"
    sign = lambda message: harness.run(python, "-c", script, key, stdin=message)
    return f"v=DKIM1; k=rsa; p={base64.b64encode(public).decode()}", sign


def prepare(provider, domain, destination, resolver):
    """The plugin into a provider's policy, the ordinary provider and the resolver into its configuration."""
    policy = (provider.folder / "policy.yaml").read_text()
    policy = policy.replace("plugins:\n", "plugins:\n" + PLUGIN.format(domain=domain), 1).replace("\nchains:\n", "\nchains:\n" + FIRST, 1)
    (provider.folder / "policy.yaml").write_text(policy.rstrip() + "\n" + LAST)
    config = provider.config.read_text()
    config = config.replace("  routes:\n", f'  routes:\n    - {{ domain: mail.example, to: "127.0.0.1:{destination}", tls: none }}\n', 1)
    config = config.replace("limits: {", f"limits: {{ dispatch: {PLACES},", 1)
    provider.config.write_text(config + f'authentication: {{ resolvers: ["127.0.0.1:{resolver}"], timeout: 6 }}\n')
    provider.command("domain", "add", domain, "--class", "ordinary")


def journey():
    python = harness.python_with(["aiosmtpd==1.4.6", "pyspf==2.0.14", "dnspython==2.7.0", "dkimpy==1.1.8"], "aiosmtpd, spf, dns, dkim")
    base = harness.free_ports()
    with harness.Pair(start=False) as pair:
        public, signed = signer(python, pair.folder)
        spf = lambda words: f"v=spf1 {words}"
        resolver = Resolver(base, [
            (FORWARDS, spf("ip4:127.0.0.1 -all")),
            ("fwd.alfa.example", spf("ip4:127.0.0.1 -all")),
            ("good.example", spf("ip4:127.0.0.1 -all")),
            ("_dmarc.good.example", "v=DMARC1; p=reject"),
            ("bad.example", spf("-all")),
            ("_dmarc.signed.example", "v=DMARC1; p=reject"),
            ("s._domainkey.signed.example", public),
        ])
        destination = Destination(python, base + 1, base, pair.folder / "destination")
        try:
            resolver.start()
            destination.start()
            prepare(pair.alfa, "fwd.alfa.example", base + 1, base)
            prepare(pair.beta, FORWARDS, base + 1, base)
            pair.beta.command("domain", "add", ORDINARY, "--class", "ordinary")
            pair.beta.add_mailbox(f"carla@{ORDINARY}")
            pair.alfa.start()
            pair.beta.start()
            copies = copies_are_what_was_received(pair, destination)
            reports_end_here(pair, destination, copies)
            faults(pair, destination)
            slow(pair, destination)
            suspended_and_resumed(pair, destination)
            circles_end(pair, destination)
            senders_are_checked(pair, resolver, signed)
        finally:
            resolver.stop()
            destination.stop()


harness.main(journey)
