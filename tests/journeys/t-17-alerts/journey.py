"""The holder of a certified mailbox is told by e-mail and SMS that something arrived: confirmed addresses and numbers
only, counts and nothing else, each arrival once, over restarts and while the gateway is away.

E-mail goes to a mail server of other people's making; SMS over HTTP to Kannel, which hands them to a message centre, and
then over SMPP to that message centre itself, in clear and through stunnel.
"""

import email
import email.policy
import json
import re
import subprocess

import harness
import telephones

ADDRESS, NUMBER = "ada@example.net", "+393330000001"
SECRET = "kannel-secret"


def plugin(target, parameters=None, content=None):
    lines = [
        "  alerts:",
        "    component: alerts@0.1",
        "    config:",
        "      provider: Alfa PEC S.p.A.",
        "      from: avvisi@avvisi.alfa.example",
        f"      sms-target: {target}",
    ]
    if parameters:
        lines += ["      sms-parameters:", *[f'        {name}: "{value}"' for name, value in parameters.items()]]
    if content:
        lines.append(f'      sms-content: "{content}"')
    grants = [
        "submit: { from: [avvisi@avvisi.alfa.example] }", "outbox: [gateway, centre, centre-tls]", "directory: read", "mac: true",
        "mailboxes: read", "state: true", "timers: true",
    ]
    return "\n".join([*lines, "    grants:", *[f"      {grant}" for grant in grants]]) + "\n"


OVER_HTTP = ("gateway", {"method": "POST", "path": "/cgi-bin/sendsms", "header.X-Kannel-To": "{number}", "header.Content-Type": "text/plain"}, "{text}")
OVER_SMPP = ("centre",)
OVER_TLS = ("centre-tls",)
CHAIN = """
  - name: alerts
    stage: stored
    steps:
      - { plugin: alerts, on-failure: defer }
"""


class Alfa:
    """Alfa with alerts, and what stands around it."""

    def __init__(self, pair):
        self.pair, self.server = pair, pair.alfa
        base = harness.free_ports()
        self.recipient = telephones.mail_server(pair.folder, base)
        self.centre = telephones.message_centre(pair.folder, base + 1)
        self.gateway = telephones.Gateway(pair.folder, base + 1, [base + 2, base + 3, base + 4], SECRET)
        self.front = telephones.TlsFront(pair.folder, base + 1, base + 5)
        self.policy = (self.server.folder / "policy.yaml").read_text()
        self.configure(base)
        self.obey(OVER_HTTP)

    def configure(self, base):
        for name, secret in (("kannel.secret", SECRET), ("centre.secret", "secret")):
            path = self.server.folder / name
            path.write_text(secret + "\n")
            path.chmod(0o600)
        text = self.server.config.read_text()
        limits = "limits: { timeout: 5, retry: [1], expire-hours: 4 }"
        targets = (
            "targets:\n  gateway:\n    protocol: http\n"
            f'    url: "http://127.0.0.1:{self.gateway.http}"\n'
            "    auth: { header: X-Kannel-Password, secret-file: kannel.secret }\n"
            f"    headers: {{ X-Kannel-Username: sigillo, X-Kannel-From: Sigillo }}\n    {limits}\n"
            f'  centre: {{ protocol: smpp, address: "127.0.0.1:{base + 1}", tls: none, system-id: sigillo, '
            f"password-file: centre.secret, from: Sigillo, {limits} }}\n"
            f'  centre-tls: {{ protocol: smpp, address: "127.0.0.1:{self.front.port}", server-name: centre.example, '
            f"tls-anchors: {self.front.root}, system-id: sigillo, password-file: centre.secret, from: Sigillo, {limits} }}\n"
        )
        route = f'  routes:\n    - {{ domain: example.net, to: "127.0.0.1:{base}", tls: none }}\n'
        self.server.config.write_text(text.replace("  routes:\n", route, 1) + targets)

    def obey(self, sms):
        policy = self.policy.replace("plugins:\n", "plugins:\n" + plugin(*sms), 1) + CHAIN
        (self.server.folder / "policy.yaml").write_text(policy)

    def restart(self, ahead=None):
        self.server.stop()
        self.server.start(ahead)

    def ask(self, operation, *words, ok=True):
        said = self.server.command("alerts", operation, f"mailbox={self.server.mailbox}", *words, "--json", ok=ok)
        return json.loads(said) if said.strip().startswith("{") else said

    def refuses(self, operation, *words):
        """What it says on standard error; fails if it does not refuse."""
        command = [harness.SIGILLO, "--config", self.server.config, "alerts", operation, f"mailbox={self.server.mailbox}", *words]
        done = subprocess.run([str(word) for word in command], capture_output=True)
        harness.equal(done.returncode, 1, f"`alerts {operation} {' '.join(words)}` is refused")
        return done.stderr.decode()

    def mails(self):
        parse = lambda record: email.message_from_bytes(record["message"].encode(), policy=email.policy.default)
        return [(record, parse(record)) for record in self.recipient.records()]

    def sms(self):
        return [(record, telephones.text_of(record)) for record in self.centre.records()]

    def end(self):
        for each in (self.gateway, self.front, self.centre, self.recipient):
            each.stop()


def six(text):
    return re.search(r"\b(\d{6})\b", text).group(1)


def barrier(alfa, sender):
    """Something goes all the way to Ada, so that what was due before has been done."""
    content = harness.message(sender, alfa.server.mailbox)
    alfa.server.submit(content, [alfa.server.mailbox], user=sender)
    inbox = alfa.server.inbox()
    inbox.wait(x_riferimento_message_id=harness.id_of(content), x_trasporto="posta-certificata")
    inbox.close()


def confirms(alfa):
    harness.check("not allowed" in alfa.refuses("add", f"address={ADDRESS}"), "until the administrator allows it")
    alfa.server.command("mailbox", "set", alfa.server.mailbox, "alerts", "allowed")
    alfa.ask("add", f"address={ADDRESS}")
    record, message = harness.wait_for(alfa.mails, "the code by e-mail")[0]
    harness.equal((record["from"], record["to"]), ("<>", [ADDRESS]), "the code comes by e-mail, under the null reverse-path")
    code = six(message.get_content())
    wrong = "000000" if code != "000000" else "000001"
    answer = alfa.ask("confirm", f"address={ADDRESS}", f"code={wrong}", ok=False)
    harness.equal((answer["state"], answer["tries-left"]), ("pending", 4), "a wrong code is counted")
    harness.equal(alfa.ask("confirm", f"address={ADDRESS}", f"code={code}")["state"], "confirmed", "the right one confirms")

    alfa.ask("add", f"number={NUMBER}")
    record, text = harness.wait_for(alfa.sms, "the code by SMS")[0]
    harness.equal(record["to"].lstrip("+"), NUMBER[1:], "the code comes by SMS, through Kannel")
    harness.equal(alfa.ask("confirm", f"number={NUMBER}", f"code={six(text)}")["state"], "confirmed", "and confirms the number")
    answer = alfa.ask("frequency", "email=1", "sms=2")
    harness.equal((answer["email-hours"], answer["sms-hours"]), (1, 2), "an alert by e-mail every hour, by SMS every two")
    harness.check("certified mail" in alfa.refuses("add", f"address={alfa.pair.beta.mailbox}"), "because it is one of certified mail")


def arrives(alfa, carla):
    """One certified message for Ada, and two receipts for what she sends."""
    barrier(alfa, carla)
    sent = harness.message(alfa.server.mailbox, carla, subject="Segreto professionale")
    alfa.server.submit(sent, [carla])
    inbox = alfa.server.inbox()
    inbox.wait(x_ricevuta="avvenuta-consegna", x_riferimento_message_id=harness.id_of(sent))
    inbox.close()


def tells_by_mail(alfa, carla):
    before = len(alfa.mails())
    arrives(alfa, carla)
    alfa.recipient.stop()
    alfa.restart("+65m")
    queued = lambda: [r for e in json.loads(alfa.server.command("queue", "list", "--json")) for r in e["recipients"] if r["address"] == ADDRESS and r["attempts"]]
    harness.wait_for(queued, "the alert to wait in the queue")
    harness.equal(len(alfa.mails()), before, "the recipient's server is away: the alert waits in the queue")
    alfa.recipient.start()
    record, message = harness.wait_for(lambda: alfa.mails()[before:], "the alert by e-mail")[0]
    text = message.get_content()
    harness.equal((record["from"], record["to"], message["Auto-Submitted"]), ("<>", [ADDRESS], "auto-generated"), "after an hour and a restart the alert by e-mail comes")
    harness.check("1 messaggio di posta certificata" in text and "2 ricevute e avvisi" in text, "it says how much of which kind")
    harness.check("non esonera il titolare" in text, "and that it exempts nobody from checking the mailbox")
    whole = record["message"] + text + str(message["Subject"])
    harness.check("Segreto" not in whole and carla not in whole and "Prova" not in whole, "and nothing of what arrived: no subject, no sender")
    harness.equal(len(alfa.sms()), 1, "an SMS is not due yet")
    alfa.restart("+75m")
    alfa.ask("list")
    harness.equal(len(alfa.mails()), before + 1, "a restart later there is no second one")


def tells_by_sms(alfa, carla):
    before = len(alfa.sms())
    alfa.gateway.stop()
    alfa.restart("+125m")
    waiting = lambda: [r for r in json.loads(alfa.server.command("outbox", "list", "--json")) if r["state"] == "waiting" and r["attempts"]]
    request = harness.wait_for(waiting, "the request to wait for the gateway")[0]
    harness.equal((request["plugin"], request["target"]), ("alerts", "gateway"), "the gateway is away: the request waits in the outbox")
    harness.check("+39333" not in json.dumps(request), "whose list does not show the number")
    alfa.server.kill()
    alfa.server.start("+126m")
    harness.wait_for(waiting, "the request after a power cut")
    alfa.gateway.start()
    record, text = harness.wait_for(lambda: alfa.sms()[before:], "the alert by SMS")[0]
    harness.check(alfa.server.mailbox in text and "1 messaggio di posta certificata, 2 ricevute e avvisi" in text, "the gateway is back: the SMS comes, with the counts")
    harness.check("non esonera" in text and "Segreto" not in text and carla not in text, "and nothing else")
    harness.wait_for(lambda: json.loads(alfa.server.command("outbox", "list", "--json")) == [], "the outbox to be empty")
    last = [contact.get("last") for contact in alfa.ask("list")["contacts"] if "number" in contact][0]
    harness.equal(last["status"], "done", "and the plugin knows that it was taken")
    alfa.restart("+127m")
    alfa.ask("list")
    harness.equal(len(alfa.sms()), before + 1, "once")


def tells_by_smpp(alfa, carla):
    mails, messages = len(alfa.mails()), len(alfa.sms())
    alfa.gateway.stop()
    alfa.server.command("mailbox", "set", alfa.server.mailbox, "alerts-language", "en", "--as", "user")
    alfa.obey(OVER_SMPP)
    alfa.restart("+130m")
    barrier(alfa, carla)
    alfa.centre.stop()
    alfa.restart("+5h")
    waiting = lambda: [r for r in json.loads(alfa.server.command("outbox", "list", "--json")) if r["state"] == "waiting" and r["attempts"]]
    harness.wait_for(waiting, "the request to wait for the message centre")
    alfa.centre.start()
    record, text = harness.wait_for(lambda: alfa.sms()[messages:], "the alert by SMPP")[0]
    harness.equal((record["from"], record["to"].lstrip("+")), ("Sigillo", NUMBER[1:]), "over SMPP, after the message centre was away")
    harness.check("1 certified message" in text and "does not exempt you" in text, "in English, as its holder chose")
    _, message = harness.wait_for(lambda: alfa.mails()[mails:], "the alert by e-mail")[0]
    harness.check("1 certified message" in message.get_content(), "and by e-mail")
    harness.wait_for(lambda: json.loads(alfa.server.command("outbox", "list", "--json")) == [], "the outbox to be empty")


def tells_by_smpp_over_tls(alfa, carla):
    mails, messages = len(alfa.mails()), len(alfa.sms())
    alfa.obey(OVER_TLS)
    alfa.restart("+5h")
    barrier(alfa, carla)
    alfa.front.start(signed_by="stranger")
    alfa.restart("+8h")
    last = lambda: [r["last"]["text"] for r in json.loads(alfa.server.command("outbox", "list", "--json")) if r["state"] == "waiting" and r["attempts"]]
    words = harness.wait_for(last, "the request to wait for a message centre that can be believed")[0]
    harness.check("certificate" in words, f"a message centre with a stranger's certificate is told nothing: {words}")
    harness.equal(len(alfa.sms()), messages, "no SMS came")
    alfa.front.stop()
    alfa.front.start()
    record, text = harness.wait_for(lambda: alfa.sms()[messages:], "the alert by SMPP over TLS")[0]
    harness.equal((record["from"], record["to"].lstrip("+")), ("Sigillo", NUMBER[1:]), "over SMPP and TLS, through stunnel, to one with the right certificate")
    harness.check("1 certified message" in text, "with the count")
    harness.wait_for(lambda: json.loads(alfa.server.command("outbox", "list", "--json")) == [], "the outbox to be empty")
    harness.equal(len(alfa.sms()), messages + 1, "once")
    harness.wait_for(lambda: alfa.mails()[mails:], "the alert by e-mail")


def tells_nobody_who_was_removed(alfa, carla):
    mails, messages = len(alfa.mails()), len(alfa.sms())
    barrier(alfa, carla)
    alfa.ask("remove", f"address={ADDRESS}")
    alfa.ask("remove", f"number={NUMBER}")
    alfa.restart("+12h")
    barrier(alfa, carla)
    harness.equal((len(alfa.mails()), len(alfa.sms())), (mails, messages), "who was removed is told no more")


def journey():
    with harness.Pair(start=False) as pair:
        for name in ("alerts.wasm", "alerts.plugin.yaml"):
            if not (pair.folder / "plugins" / name).exists():
                (pair.folder / "plugins" / name).write_bytes((harness.TARGET / "plugins" / name).read_bytes())
        alfa = Alfa(pair)
        try:
            carla = pair.alfa.add_mailbox("carla@pec.alfa.example")
            alfa.recipient.start()
            alfa.centre.start()
            alfa.gateway.start()
            pair.alfa.start()
            confirms(alfa)
            tells_by_mail(alfa, carla)
            tells_by_sms(alfa, carla)
            tells_by_smpp(alfa, carla)
            tells_by_smpp_over_tls(alfa, carla)
            tells_nobody_who_was_removed(alfa, carla)
        finally:
            alfa.end()


harness.main(journey)
