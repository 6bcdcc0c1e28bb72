"""What other systems have done is done: a message that another server took does not go there twice, though what the chain
reads changes all the while; and a target that was away is asked again as soon as an operator says so. A message that an
operator lets go, and that may not go, is reported in the end.

A third server, of an ordinary domain, with guests that count and ask; another maker's mail server (aiosmtpd), and an HTTP
server as the target.
"""

import collections
import http.server
import json
import shutil
import smtplib
import sqlite3
import threading

import harness
import telephones

DOMAIN, ELSEWHERE = "gamma.example", "altrove.example"
ADA, ASKER, SLOW = f"ada@{DOMAIN}", f"asker@{DOMAIN}", f"lento@{DOMAIN}"
MESSAGES, CLIENTS = 60, 6
REQUESTS = 256  # as many as one step may make

POLICY = f"""\
apiVersion: sigillo/v1
kind: Policy
plugins:
  tallies: {{ component: tallies@0.1, grants: {{ state: true }} }}
  spins-forever: {{ component: spins-forever@0.1 }}
  asks-outside:
    component: asks-outside@0.1
    config: {{ kind: many }}
    grants: {{ outbox: [gateway], state: true }}
chains:
  - {{ name: endings, stage: outcome, steps: [{{ plugin: tallies, on-failure: defer }}] }}
  - name: asking
    stage: access
    when: {{ identity: {ASKER} }}
    steps: [{{ plugin: asks-outside, on-failure: defer }}]
"""
HOLDING = f"""\
  - name: holding
    stage: access
    when: {{ identity: {SLOW} }}
    steps: [{{ plugin: spins-forever, on-failure: hold, limits: {{ cpu: 200ms }} }}]
"""


class Gamma(harness.Provider):
    """Its folder is made here, with Alfa's TLS certificate, which is good for this machine."""

    def __init__(self, pair, mail, target):
        folder = pair.folder / "gamma"
        shutil.copytree(harness.TARGET / "guests", folder / "plugins")
        for name in ("tls.pem", "tls.key"):
            shutil.copy(pair.folder / "alfa" / name, folder / name)
        harness.Server.__init__(self, folder, pair.folder / "ca.pem")
        # The pair does not run: its ports are free.
        self.word, self.ports, self.passwords, self.mailbox = "gamma", pair.alfa.ports, {}, ADA
        self.config.write_text(
            f"hostname: mail.{DOMAIN}\ndata-dir: ./data\nplugins-dir: ./plugins\npolicy: ./policy.yaml\nlisteners:\n"
            f'  - {{ protocol: submission, address: "127.0.0.1:{self.ports["submissions"]}", tls: implicit }}\n'
            f'  - {{ protocol: imap, address: "127.0.0.1:{self.ports["imaps"]}", tls: implicit }}\n'
            "tls: { certificate: tls.pem, key: tls.key }\n"
            f'delivery: {{ routes: [{{ domain: {ELSEWHERE}, to: "127.0.0.1:{mail}", tls: none }}] }}\n'
            # Whoever waits for the target to be asked again by itself waits longer than a test.
            f'targets:\n  gateway:\n    protocol: http\n    url: "http://127.0.0.1:{target}/"\n    limits: {{ retry: [3600] }}\n'
        )
        (folder / "policy.yaml").write_text(POLICY + HOLDING)
        self.command("domain", "add", DOMAIN, "--class", "ordinary")
        for user in (ADA, ASKER, SLOW):
            self.add_mailbox(user)

    def requests(self):
        return {one["key"]: one for one in json.loads(self.command("outbox", "list", "--all", "--json"))}


class Target:
    """Takes every request and notes it."""

    def __init__(self, port):
        self.port, self.seen, self.server = port, [], None

    def start(self):
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                seen.append(self.path)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()


class Writer(threading.Thread):
    """Sends its share of the messages in one session."""

    def __init__(self, gamma, number):
        super().__init__(daemon=True)
        self.gamma, self.number, self.sent, self.error = gamma, number, [], None

    def run(self):
        try:
            with self.gamma.smtp(ADA) as session:
                for count in range(MESSAGES // CLIENTS):
                    to = [f"dest{self.number}@{ELSEWHERE}", f"copia{self.number}@{ELSEWHERE}"]
                    content = harness.message(ADA, to, subject=f"{self.number}.{count}")
                    session.sendmail(ADA, to, content)
                    self.sent.append(harness.id_of(content))
        except (OSError, smtplib.SMTPException) as error:
            self.error = error


def handed_over_once(gamma, mail):
    writers = [Writer(gamma, number) for number in range(CLIENTS)]
    [writer.start() for writer in writers]
    [writer.join(120) for writer in writers]
    for writer in writers:
        if writer.error:
            raise harness.Failure(f"a submission failed: {writer.error}")
    sent = [name for writer in writers for name in writer.sent]
    harness.equal(len(sent), MESSAGES, f"{MESSAGES} messages are on their way to another server")
    harness.wait_for(lambda: gamma.command("queue", "list").startswith("the queue is empty"), "the queue to empty", 120)
    arrived = collections.Counter()
    for record in mail.records():
        arrived[harness.header_of(record["message"].encode())["Message-ID"].strip()] += 1
    harness.equal(arrived, collections.Counter(sent), "each is there once")
    with sqlite3.connect(gamma.folder / "data" / "sigillo.db") as database:
        rows = database.execute("SELECT key, value FROM plugin_state WHERE plugin = 'tallies'").fetchall()
    harness.equal({key: int(value) for key, value in rows}, {"delivered": 2 * MESSAGES}, "and the plugin counted each recipient once")


def asked_when_an_operator_says_so(gamma, target):
    gamma.submit(harness.message(ASKER, ADA), [ADA], user=ASKER)
    away = lambda: sum(one["attempts"] for one in gamma.requests().values()) >= 3
    harness.wait_for(away, "three attempts in vain")
    harness.equal(len(gamma.requests()), REQUESTS, "a target is away, and many requests wait for it")
    target.start()
    said = gamma.command("outbox", "retry", "asks-outside", "gateway", "k7")
    harness.check("at once" in said, "it is back, and an operator says so")
    known = lambda: [one for one in gamma.requests().values() if one["state"] == "known"]
    waiting = lambda: {key: one["attempts"] for key, one in gamma.requests().items() if one["state"] == "waiting"}
    harness.wait_for(lambda: all(waiting().values()), "the requests that had not been tried")
    tried = waiting()
    harness.check(len(tried) >= 3 and "k7" not in tried, "it is asked at once, for the one that was named and for all that were only kept back")
    for key in tried:
        gamma.command("outbox", "retry", "asks-outside", "gateway", key)
    harness.wait_for(lambda: len(known()) == REQUESTS, "the others")
    harness.equal(len(target.seen), REQUESTS, "and each was asked once")
    try:
        gamma.command("outbox", "retry", "asks-outside", "gateway", "k7")
        raise harness.Failure("a request that has ended is made again")
    except harness.Failure as failure:
        harness.check("no request" in str(failure), "one that has ended is not made again")


def one_damaged_request_stops_no_other(gamma, target):
    """Its time is over, too: it is the first thing that is looked at."""
    gamma.kill()
    with sqlite3.connect(gamma.folder / "data" / "sigillo.db") as database:
        database.execute("UPDATE outbox SET state = 'waiting', parameters = '[]', expires = 32503680000000, due = 1, attempts = 0")
        database.execute("UPDATE outbox SET parameters = '{', expires = 1 WHERE key = 'k0'")
    target.seen.clear()
    gamma.start()
    others = lambda: {key: one["state"] for key, one in damaged(gamma).items()}
    harness.wait_for(lambda: list(others().values()).count("known") == REQUESTS - 1, "the others to be asked")
    harness.equal(len(target.seen), REQUESTS - 1, "a request that cannot be read stops no other")
    gamma.command("outbox", "drop", "asks-outside", "gateway", "k0")
    harness.wait_for(lambda: gamma.command("outbox", "list", ok=False).startswith("the outbox is empty"), "its plugin to be told")
    harness.check(True, "an operator gives it up, and its plugin is told")


def damaged(gamma):
    """What can be read of the outbox, though something cannot."""
    text = harness.run(harness.SIGILLO, "--config", gamma.config, "outbox", "list", "--all", "--json", ok=False).decode()
    return {one["key"]: one for one in json.loads(text)}


def let_go_and_reported(gamma):
    """BOX-14: what was held counts on the day on which it goes."""
    gamma.command("mailbox", "daily-sends", SLOW, "1")
    held = harness.message(SLOW, ADA, subject="Trattenuta")
    gamma.submit(held, [ADA], user=SLOW)
    queue = lambda: json.loads(gamma.command("queue", "list", "--json"))
    entry = next(entry for entry in queue() if entry["reverse-path"] == SLOW)
    harness.equal(entry["recipients"][0]["state"], "held", "a message is held")
    harness.equal(gamma.stop(), 0, "the policy is mended")
    (gamma.folder / "policy.yaml").write_text(POLICY)
    gamma.start()
    gamma.submit(harness.message(SLOW, ADA), [ADA], user=SLOW)
    gamma.stop()
    gamma.command("queue", "release", entry["id"])
    gamma.start()
    said = lambda: [to["reply"] for one in queue() if one["id"] == entry["id"] for to in one["recipients"]]
    harness.wait_for(lambda: "recipients a day" in (said()[0] or ""), "the held message to be tried")
    harness.check(True, "let go on a day on which its mailbox has sent enough, it waits")
    gamma.kill()
    with sqlite3.connect(gamma.folder / "data" / "sigillo.db") as database:
        database.execute("UPDATE entries SET expires = 1")
        database.execute("UPDATE recipients SET due = 1")
    gamma.start()
    inbox = gamma.inbox(SLOW)
    report = inbox.fetch(harness.wait_for(lambda: list(inbox.headers()), "a report")[0]).decode()
    inbox.close()
    harness.check("recipients a day" in report and "Trattenuta" in report, "when its time is over its sender is told why it did not go")
    harness.equal(queue(), [], "and nothing waits any more")


def journey():
    with harness.Pair(start=False) as pair:
        base = harness.free_ports()
        mail, target = telephones.mail_server(pair.folder, base), Target(base + 1)
        gamma = Gamma(pair, base, base + 1)
        try:
            mail.start()
            gamma.start()
            handed_over_once(gamma, mail)
            asked_when_an_operator_says_so(gamma, target)
            one_damaged_request_stops_no_other(gamma, target)
            let_go_and_reported(gamma)
            harness.equal(gamma.stop(), 0, "the server runs until it is stopped")
        except BaseException:
            print(gamma.log.read_text(errors="replace")[-4000:] if gamma.log.exists() else "")
            raise
        finally:
            gamma.kill()
            target.stop()
            mail.stop()


harness.main(journey)
