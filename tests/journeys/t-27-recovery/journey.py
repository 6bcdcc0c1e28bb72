"""Whoever lost his password gets another by himself: a code comes to his mobile telephone, through Kannel over HTTP and
then over SMPP from a message centre of other people's making, once each whatever is killed or away meanwhile. The holder of
an extended contract is told by e-mail."""

import imaplib
import json
import os
import re
import subprocess
from pathlib import Path

import harness
import telephones
from harness import check, equal

CUSTOMER, DOMAIN = "c-118", "pec.gamma.example"
OFFICER, ADA, EVA = f"officer@{DOMAIN}", f"ada@{DOMAIN}", f"eva@{DOMAIN}"
NUMBER = "+393330000001"
SECRET = "kannel-secret"
OVER_HTTP = """provisioning:
  text-messages:
    target: gateway
    parameters: { method: POST, path: /cgi-bin/sendsms, header.X-Kannel-To: "{number}", header.Content-Type: text/plain }
    content: "{text}"
"""
OVER_SMPP = "provisioning: { text-messages: { target: centre } }\n"


class Alfa:
    """Alfa, and what takes its text messages."""

    def __init__(self, pair):
        self.server = pair.alfa
        base = harness.free_ports()
        self.centre = telephones.message_centre(pair.folder, base)
        self.gateway = telephones.Gateway(pair.folder, base, [base + 1, base + 2, base + 3], SECRET)
        for name, secret in (("kannel.secret", SECRET), ("centre.secret", "secret")):
            path = self.server.folder / name
            path.write_text(secret + "\n")
            path.chmod(0o600)
        limits = "limits: { timeout: 5, retry: [1], expire-hours: 4 }"
        self.plain = self.server.config.read_text() + (
            "targets:\n  gateway:\n    protocol: http\n"
            f'    url: "http://127.0.0.1:{self.gateway.http}"\n'
            "    auth: { header: X-Kannel-Password, secret-file: kannel.secret }\n"
            f"    headers: {{ X-Kannel-Username: sigillo, X-Kannel-From: Sigillo }}\n    {limits}\n"
            f'  centre: {{ protocol: smpp, address: "127.0.0.1:{base}", tls: none, system-id: sigillo, '
            f"password-file: centre.secret, from: Sigillo, {limits} }}\n"
        )
        self.ahead = None

    def configure(self, text):
        self.server.config.write_text(self.plain + text)

    def start(self, ahead=None):
        self.ahead = ahead
        self.server.start(ahead)

    def says(self, *words, stdin=None):
        """`sigillo` by the clock of the server: its exit code and what it said."""
        environment = dict(os.environ)
        if self.ahead:
            library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
            environment |= {"LD_PRELOAD": str(library), "FAKETIME": self.ahead, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
        command = [str(harness.SIGILLO), "--config", str(self.server.config), *words]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, env=environment)
        return done.returncode, done.stdout, done.stderr

    def asks(self, login):
        code, out, err = self.says("user", "send-code", login, "--json")
        equal(code, 0, f"a code is asked for {login}")
        return json.loads(out)["answer"]

    def uses(self, login, code, password):
        status, out, _ = self.says("user", "use-code", login, "--json", stdin=f"{code}\n{password}\n")
        answer = json.loads(out)
        if answer["changed"] != (status == 0):
            raise harness.Failure(f"{status} and {answer}")
        return answer

    def requests(self, *words):
        return json.loads(self.says("outbox", "list", "--json", *words)[1])

    def waiting(self):
        return [request for request in self.requests() if request["state"] == "waiting" and request["attempts"]]

    def sms(self):
        return [(record, telephones.text_of(record)) for record in self.centre.records()]

    def opens(self, login, password):
        session = imaplib.IMAP4_SSL("127.0.0.1", self.server.ports["imaps"], ssl_context=self.server.context(), timeout=120)
        try:
            session.login(login, password)
            return True
        except imaplib.IMAP4.error:
            return False
        finally:
            session.shutdown()


def eight(text):
    return re.match(r"(\d{8}) e' il codice", text).group(1)


def other(code):
    return "00000000" if code != "00000000" else "11111111"


def settings(alfa):
    """What cannot work is said before the start."""
    for text, words in [
        ("provisioning: { text-messages: { target: gatway } }\n", "there is no target 'gatway' in 'targets', which has: centre, gateway"),
        ("provisioning: { text-messages: { target: gateway } }\n", "http takes method, path"),
        ('provisioning: { text-messages: { target: centre, parameters: { to: "{number}" } } }\n', "{number} and {text} must stand"),
    ]:
        alfa.configure(text)
        code, out, err = alfa.says("check")
        check(code == 78 and words in out + err, f"a gateway that cannot work is told: {words}")
    alfa.configure("")
    alfa.start()
    code, _, err = alfa.says("user", "send-code", ADA)
    check(code == 1 and "no gateway is configured" in err, "without a gateway all are told so")
    alfa.server.stop()
    code, _, err = alfa.says("user", "send-code", ADA)
    check(code == 1 and "the server does not run" in err, "and without a server")


def people(alfa):
    server = alfa.server
    server.command("customer", "add", CUSTOMER, "--name", "Comune di Gamma", "--holder", "Ada Rossi", "--expires", "2099-12-31")
    server.command("domain", "add", DOMAIN, "--class", "certified", "--customer", CUSTOMER)
    for address in (OFFICER, ADA, EVA):
        server.add_mailbox(address)
    server.command("role", "grant", OFFICER, "registration-officer", "--customer", CUSTOMER)
    officer = ["--actor", OFFICER]
    code, out, _ = alfa.says(*officer, "user", "mobile", ADA, "+39 333 000 0001")
    check(code == 0 and NUMBER in out, "the officer notes a telephone, given at the activation")
    equal(alfa.says(*officer, "user", "mobile", ADA)[1].strip(), NUMBER, "and sees it")
    equal(alfa.says(*officer, "user", "mobile", server.mailbox, NUMBER)[0], 1, "not of another customer's user")
    equal(alfa.says(*officer, "user", "mobile", ADA, "333 000 0001")[0], 1, "and no number without its country")


def by_http(alfa):
    """The gateway is away and the power fails: the code comes once, when it is back."""
    alfa.configure(OVER_HTTP)
    alfa.start()
    alfa.centre.start()
    answer = alfa.asks(ADA)
    equal({alfa.asks(login) for login in (ADA, EVA, f"nobody@{DOMAIN}", "nobody@elsewhere.example")}, {answer},
          "asked a moment ago, without a telephone, unknown: the answer is the same")
    request = harness.wait_for(alfa.waiting, "the request to wait for the gateway")
    equal([(r["plugin"], r["target"]) for r in request], [("_server", "gateway")], "one request waits for the gateway, which is away")
    shown = json.dumps(request) + alfa.says("outbox", "list")[1]
    alfa.server.kill()
    alfa.start()
    harness.wait_for(alfa.waiting, "the request after a power cut")
    alfa.gateway.start()
    record, text = harness.wait_for(alfa.sms, "the text message")[0]
    equal(record["to"].lstrip("+"), NUMBER[1:], "it is back: the code comes, through Kannel")
    check(ADA in text and "15 minuti" in text and "tell nobody" in text, "with what it is for")
    harness.wait_for(lambda: alfa.requests() == [], "the outbox to be empty")
    code = eight(text)
    check(not any(secret in shown for secret in (code, NUMBER[1:], ADA)), "the list of what waited shows neither code nor number nor login")
    check(code not in json.dumps(alfa.requests("--all")) + alfa.server.log.read_text(), "nothing that stays shows the code")

    for _ in range(4):
        answer = alfa.uses(ADA, other(code), "cavallo batteria giusta")
    check(answer["changed"] is False and answer["what"] == "login or code", "a wrong code changes nothing")
    equal(alfa.uses(ADA, code, "password")["what"], "the password", "nor does a password that is tried first")
    old = alfa.server.passwords[ADA]
    check(alfa.opens(ADA, old), "the old password still opens the mailbox")
    equal(alfa.uses(ADA, code, "cavallo batteria giusta")["changed"], True, "the right one changes it, at the fifth attempt")
    alfa.server.passwords[ADA] = "cavallo batteria giusta"
    check(alfa.opens(ADA, "cavallo batteria giusta") and not alfa.opens(ADA, old), "the new one opens the mailbox, the old one does not")
    equal(alfa.uses(ADA, code, "ancora un'altra parola")["changed"], False, "a code is good once")
    alfa.asks(ADA)
    alfa.server.stop()
    alfa.start()
    equal((alfa.requests(), len(alfa.sms())), ([], 1), "a second one within five minutes is not sent, and none comes twice")
    return code


def by_smpp(alfa):
    """Over SMPP, ten minutes later; the power fails between asking and sending."""
    alfa.gateway.stop()
    alfa.server.stop()
    alfa.configure(OVER_SMPP)
    alfa.centre.stop()
    alfa.start("+10m")
    alfa.asks(ADA)
    alfa.server.kill()
    alfa.start("+10m")
    harness.wait_for(alfa.waiting, "the request to wait for the message centre")
    alfa.centre.start()
    record, text = harness.wait_for(lambda: alfa.sms()[1:], "the second text message")[0]
    equal((record["from"], record["to"].lstrip("+")), ("Sigillo", NUMBER[1:]), "over SMPP, after a power cut between asking and sending")
    harness.wait_for(lambda: alfa.requests() == [], "the outbox to be empty")
    code = eight(text)
    for _ in range(5):
        equal(alfa.uses(ADA, other(code), "staffa giusta batteria")["changed"], False, "a wrong code")
    equal(alfa.uses(ADA, code, "staffa giusta batteria")["changed"], False, "after five attempts the right one is over")
    check(alfa.opens(ADA, alfa.server.passwords[ADA]), "and the password is what it was")
    # A message centre that is away for longer than a code is good: nobody gets one that is over.
    alfa.server.stop()
    alfa.centre.stop()
    alfa.start("+20m")
    alfa.asks(ADA)
    harness.wait_for(alfa.waiting, "the third request")
    alfa.server.stop()
    alfa.start("+36m")
    harness.wait_for(lambda: alfa.requests() == [], "the third request to be over")
    alfa.centre.start()
    alfa.server.stop()
    alfa.start("+37m")
    equal([r["last"]["status"] for r in alfa.requests("--all")], ["done", "done", "expired"], "a code that is over is not sent any more")
    equal(len(alfa.sms()), 2, "indeed")
    return code


def extended(alfa):
    """ADM-21."""
    code, out, _ = alfa.says("customer", "renew", CUSTOMER, "--until", "2100-12-31")
    check(code == 0 and f"its holder is told in {OFFICER}" in out, "an extended contract says who is told")
    inbox = alfa.server.inbox(OFFICER)
    letter = inbox.get(subject="Contratto prorogato fino al 31/12/2100 / Contract until 31 December 2100")
    check(b"Auto-Submitted: auto-generated" in letter and b"c-118" in letter, "its holder is told by e-mail, in two languages")
    inbox.close()
    alfa.server.kill()
    alfa.start("+37m")
    equal(len(alfa.server.inbox(OFFICER).headers()), 1, "once")


def recorded(alfa, codes):
    records = json.loads(alfa.says("log", "search", "--log", "audit", "--kind", "password-recovery", "--limit", "1000", "--json")[1])
    count = lambda result, words: sum(r["result"] == result and words in json.dumps(r) for r in records)
    equal((count("done", "code sent"), count("done", "password changed"), count("refused", "wrong code")), (3, 1, 9), "the audit trail has each code, change and wrong guess")
    text = json.dumps(records)
    check(not any(secret in text for secret in [*codes, NUMBER[1:], "cavallo"]), "and no secret")


def journey():
    with harness.Pair(start=False) as pair:
        index = pair.folder / "providers.ldif"
        own = "managedDomains: pec.alfa.example\n"
        index.write_text(index.read_text().replace(own, own + f"managedDomains: {DOMAIN}\n"))
        alfa = Alfa(pair)
        try:
            people(alfa)
            settings(alfa)
            codes = [by_http(alfa), by_smpp(alfa)]
            extended(alfa)
            recorded(alfa, codes)
        finally:
            alfa.gateway.stop()
            alfa.centre.stop()


harness.main(journey)
