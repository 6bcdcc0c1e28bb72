"""Misbehaving plugins in a policy: each ends as its step declares, leaves nothing behind, and other mail never waits.

A third server, of an ordinary domain. Whose mail meets which plugin is decided by who sends it.
"""

import json
import shutil
import smtplib
import threading

import harness

DOMAIN = "gamma.example"
POLICY = """\
apiVersion: sigillo/v1
kind: Policy
plugins:
  traps:
    component: traps@0.1
    config: { changes: 6 }
    grants: { submit: { from: [ada@alfa.example] }, state: true, timers: { on-failure: defer }, evidence: true }
  spins-forever: { component: spins-forever@0.1 }
  eats-memory: { component: eats-memory@0.1 }
  floods-host-calls: { component: floods-host-calls@0.1 }
  forges-a-reply:
    component: bad-output@0.1
    config: { kind: reply-line-end }
    grants: { submit: { from: [ada@alfa.example] } }
  forges-a-header:
    component: bad-output@0.1
    config: { kind: header-line-end }
    grants: { submit: { from: [ada@alfa.example] } }
  asks-ungranted: { component: asks-ungranted@0.1, config: { key: provider }, grants: { signer: [other] } }
  copies: { component: copies@0.1 }
  looks: { component: null@0.1 }
  books:
    component: keeps-books@0.1
    grants: { submit: { from: [clerk@alfa.example] }, state: true, timers: true, evidence: true }
chains:
"""
# Steps that fail when nothing is left to refuse: the message is filed, or given up.
LATE = [
    ("stored-defer", "stored", "recipient", "defer"),
    ("stored-hold", "stored", "recipient", "hold"),
    ("outcome-hold", "outcome", "sender", "hold"),
]

# Who sends, which plugin, what its step says, and what the sender is answered: 250 and where the message is then, or
# the reply and a word of its text.
CASES = [
    ("traps-reject", "traps", "on-failure: reject", 554, ""),
    ("traps-defer", "traps", "on-failure: defer", 451, ""),
    ("traps-skip", "traps", "on-failure: skip, advisory: true", 250, "delivered"),
    ("traps-hold", "traps", "on-failure: hold", 250, "kept"),
    ("spins", "spins-forever", "on-failure: defer, limits: { cpu: 200ms }", 451, ""),
    ("eats", "eats-memory", "on-failure: quarantine, limits: { memory: 16MiB }", 250, "kept"),
    ("floods", "floods-host-calls", "on-failure: reject, limits: { host-calls: 1000 }", 554, ""),
    ("forger", "forges-a-reply", "on-failure: defer", 451, ""),
    ("header-forger", "forges-a-header", "on-failure: defer", 550, "invalid"),
    ("asker", "asks-ungranted", "on-failure: defer", 550, "Denied"),
    ("copier", "copies", "on-failure: defer", 250, "delivered"),
]


class Gamma(harness.Provider):
    """The third server: its folder is made here, with Alfa's TLS certificate, which is good for this machine."""

    def __init__(self, pair):
        folder = pair.folder / "gamma"
        shutil.copytree(harness.TARGET / "guests", folder / "plugins")
        for name in ("tls.pem", "tls.key"):
            shutil.copy(pair.folder / "alfa" / name, folder / name)
        harness.Server.__init__(self, folder, pair.folder / "ca.pem")
        # The pair does not run: its ports are free.
        self.word, self.ports, self.passwords = "gamma", pair.alfa.ports, {}
        self.mailbox = f"bruno@{DOMAIN}"
        self.config.write_text(configuration(self.ports))
        (folder / "policy.yaml").write_text(policy())
        self.command("domain", "add", DOMAIN, "--class", "ordinary")
        for user in ["bruno", "dora", "elsa", *(case[0] for case in CASES), *(late[0] for late in LATE)]:
            self.add_mailbox(f"{user}@{DOMAIN}")
        self.add_mailbox(f"full@{DOMAIN}", quota=1024)


def configuration(ports):
    return (
        f"hostname: mail.{DOMAIN}\ndata-dir: ./data\nplugins-dir: ./plugins\npolicy: ./policy.yaml\nlisteners:\n"
        f'  - {{ protocol: submission, address: "127.0.0.1:{ports["submissions"]}", tls: implicit }}\n'
        f'  - {{ protocol: imap, address: "127.0.0.1:{ports["imaps"]}", tls: implicit }}\n'
        "tls: { certificate: tls.pem, key: tls.key }\n"
        # The second attempt would be after the end.
        "delivery: { retry: [7200], expire-hours: 1 }\n"
    )


def policy():
    chain = "  - name: {0}\n    stage: access\n    when: {{ identity: {0}@" + DOMAIN + " }}\n    steps: [{{ plugin: {1}, {2} }}]\n"
    chains = [chain.format(user, plugin, step) for user, plugin, step, _, _ in CASES]
    late = "  - name: {0}\n    stage: {1}\n    when: {{ {2}: {0}@" + DOMAIN + " }}\n    steps: [{{ plugin: books, on-failure: {3}, limits: {{ memory: 64KiB }} }}]\n"
    return POLICY + "".join(chains) + chain.format("dora", "looks", "on-failure: defer") + "".join(late.format(*row) for row in LATE)


class OtherMail(threading.Thread):
    """Dora writes to Bruno all the while; each of her messages must be accepted."""

    def __init__(self, gamma, stop):
        super().__init__(daemon=True)
        self.gamma, self.stop, self.sent, self.error = gamma, stop, [], None

    def run(self):
        try:
            while not self.stop.is_set():
                content = harness.message(f"dora@{DOMAIN}", self.gamma.mailbox)
                self.gamma.submit(content, [self.gamma.mailbox], user=f"dora@{DOMAIN}")
                self.sent.append(harness.id_of(content))
        except (OSError, smtplib.SMTPException) as error:
            self.error = error


def answer(gamma, user, content):
    """(reply code, text) to the end of DATA."""
    with gamma.smtp(f"{user}@{DOMAIN}") as session:
        session.ehlo_or_helo_if_needed()
        session.mail(f"{user}@{DOMAIN}")
        session.rcpt(gamma.mailbox)
        code, text = session.data(content)
        return code, text.decode()


def run_case(gamma, inbox, user, plugin, step, expected, word):
    content = harness.message(f"{user}@{DOMAIN}", gamma.mailbox, text="Ciao \r\n.\r\n" * 20)
    client_id = harness.id_of(content)
    code, text = answer(gamma, user, content)
    harness.equal(code, expected, f"{plugin}, {step}: {code} {text}")
    if expected != 250 and word:
        harness.check(word in text, f"  the reply says «{word}»")
    if word == "delivered":
        got = inbox.get(message_id=client_id)
        harness.check(got.endswith(content), "  delivered as it was, byte for byte")
        harness.check(b"X-Half" not in got, "  with nothing of the failed step")
    return client_id if (expected, word) != (250, "delivered") else None


def too_late_to_refuse(gamma):
    """Nobody is told that a message did not arrive which lies in the mailbox; what is held waits for the operator."""
    elsa = f"elsa@{DOMAIN}"
    for user in ("stored-defer", "stored-hold"):
        content = harness.message(elsa, f"{user}@{DOMAIN}")
        gamma.submit(content, [f"{user}@{DOMAIN}"], user=elsa)
        inbox = gamma.inbox(f"{user}@{DOMAIN}")
        inbox.wait(message_id=harness.id_of(content))
        inbox.close()
    sender = f"outcome-hold@{DOMAIN}"
    with gamma.smtp(sender) as session:  # without saying beforehand how large it is
        session.ehlo_or_helo_if_needed()
        session.mail(sender)
        session.rcpt(f"full@{DOMAIN}")
        code, _ = session.data(harness.message(sender, f"full@{DOMAIN}", text="x\r\n" * 2000))
    harness.equal(code, 250, "a message for a mailbox without room is taken")

    def settled():
        entries = json.loads(gamma.command("queue", "list", "--json"))
        found = {(entry["reverse-path"], to["address"], to["state"]) for entry in entries for to in entry["recipients"]}
        of = {one for one in found if one[0] in (elsa, sender, "")}
        return of == {(elsa, f"stored-hold@{DOMAIN}", "filed"), (sender, f"full@{DOMAIN}", "held")}

    harness.wait_for(settled, "what is held, and nothing else of these", 60)
    for user in (elsa, sender):
        inbox = gamma.inbox(user)
        harness.equal(len(inbox.headers()), 0, f"{user.split('@')[0]}: a step that fails after the fact tells nobody of a failure")
        inbox.close()


def journey():
    with harness.Pair(start=False) as pair:
        gamma, stop = Gamma(pair), threading.Event()
        try:
            gamma.start()
            other, inbox = OtherMail(gamma, stop), gamma.inbox()
            other.start()
            absent = [run_case(gamma, inbox, *case) for case in CASES]
            too_late_to_refuse(gamma)
            stop.set()
            other.join(60)
            if other.error:
                raise harness.Failure(f"other mail met {other.error}")
            harness.wait_for(lambda: len(inbox.find(From=f"dora@{DOMAIN}")) >= len(other.sent), "the other mail")
            ids = [header["Message-ID"].strip() for header in inbox.headers().values()]
            harness.equal(sorted(name for name in ids if name in other.sent), sorted(other.sent), f"{len(other.sent)} other messages meanwhile, each once")
            harness.check(not set(filter(None, absent)) & set(ids), "nothing that was refused or kept was delivered")
            harness.check(len(ids) == len(other.sent) + 2, "and nothing that a failed step had submitted")
            waiting = json.loads(gamma.command("queue", "list", "--json"))
            held = [entry["reverse-path"] for entry in waiting if entry["recipients"][0]["state"] == "held"]
            harness.equal(sorted(held), [f"outcome-hold@{DOMAIN}", f"traps-hold@{DOMAIN}"], "what is held waits in the queue")
            harness.equal(gamma.stop(), 0, "the server runs until it is stopped")
        except BaseException:
            print(gamma.log.read_text(errors="replace")[-4000:] if gamma.log.exists() else "")
            raise
        finally:
            gamma.kill()


harness.main(journey)
