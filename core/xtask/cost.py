"""What the whole shipped policy costs a message, and the same mail through rspamd as a milter under Postfix.

    cost.py [--messages N] [--rounds N] [--size OCTETS]

Four servers, one up at a time, in alternating rounds on the same machine and disk: Sigillo without a policy, Sigillo with
the shipped policy and all its plugins, Postfix, and Postfix with rspamd as its milter. One client over one connection
sends each the same ordinary messages and times each from MAIL to the reply to DATA. Processor time is that of the
server's processes (and of rspamd's), read before and after; memory is their resident memory at the end of a round. What
the policy costs is the difference to the server without it; the medians of the rounds are printed, and their ratio.

Sigillo also files each message in a mailbox and Postfix discards what it accepted, in all rounds alike. Under the whole
policy each message is scanned by a ClamAV daemon (counted with the server; the peer has none), rated by the classifier,
which was taught before, filed and archived. The last line is about certified mail, which the peer has nothing for: from
submission to the delivery receipt, four signatures a message.
"""

import argparse
import json
import os
import shutil
import smtplib
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/journeys"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
import compare  # noqa: E402
import harness  # noqa: E402
import service  # noqa: E402

RSPAMD_PORT, MILTER_PORT = 24984, 24985
ORDINARY = "posta.alfa.example"
# Lessons of each kind for the classifier: with fewer than fifty it says nothing.
LESSONS = 60
TICK = os.sysconf("SC_CLK_TCK")
# Seconds after which a server that is never idle is read as it is.
SETTLE_MAX = 10

# Local rules only, as a provider without Internet at hand would test: whatever asks somebody else is off.
RSPAMD_OFF = ["rbl", "surbl", "fuzzy_check", "phishing", "asn", "dcc", "url_redirector", "rspamd_update", "mx_check", "bimi", "reputation"]
RSPAMD = {
    "worker-normal.inc": f'bind_socket = "127.0.0.1:{RSPAMD_PORT}"; count = 1;\n',
    "worker-controller.inc": "enabled = false;\n",
    "worker-fuzzy.inc": "enabled = false;\n",
    "worker-proxy.inc": f'bind_socket = "127.0.0.1:{MILTER_PORT}"; milter = yes; count = 1;\n'
    f'upstream "local" {{ default = yes; hosts = "127.0.0.1:{RSPAMD_PORT}"; }}\n',
    "options.inc": 'dns { nameserver = ["127.0.0.1:9"]; timeout = 0.1s; retransmits = 1; }\nneighbours {}\n',
}


def fields(pid):
    """The fields of proc(5) `stat` after the name."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def tree(root):
    """A process and all below it that live now."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents.setdefault(int(fields(entry.name)[1]), []).append(int(entry.name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found, new = [], [root]
    while new:
        pid = new.pop()
        found.append(pid)
        new += parents.get(pid, [])
    return found


def processor(roots):
    """Seconds of processor time of these processes, of those below them, and of what they have waited for."""
    total = 0
    for pid in (pid for root in roots for pid in tree(root)):
        try:
            total += sum(int(value) for value in fields(pid)[11:15])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return total / TICK


def resident(roots):
    """MiB: proportional set size, so that what processes share counts once."""
    total = 0
    for pid in (pid for root in roots for pid in tree(root)):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total / 1024


class Postfix(compare.Postfix):
    recipient = f"bench@{compare.DOMAIN}"

    def roots(self):
        return [int((self.folder / "queue/pid/master.pid").read_text())]


class Filtered(Postfix):
    """Postfix with rspamd as its milter."""

    def __init__(self, folder):
        (folder / "filtered").mkdir()
        super().__init__(folder / "filtered")
        main = self.folder / "etc/main.cf"
        milter = f"smtpd_milters = inet:127.0.0.1:{MILTER_PORT}\nmilter_default_action = tempfail\nmilter_protocol = 6\n"
        main.write_text(main.read_text() + milter)
        self.rspamd = folder / "rspamd"
        for name in ("local.d", "override.d", "db", "log", "run"):
            (self.rspamd / name).mkdir(parents=True)
        for name, text in RSPAMD.items():
            (self.rspamd / "local.d" / name).write_text(text)
        for name in RSPAMD_OFF:
            (self.rspamd / "local.d" / f"{name}.conf").write_text("enabled = false;\n")
        harness.run("chown", "-R", "_rspamd:_rspamd", self.rspamd)

    def __enter__(self):
        places = [f"--var={name}={self.rspamd / where}" for name, where in [("LOCAL_CONFDIR", ""), ("DBDIR", "db"), ("RUNDIR", "run"), ("LOGDIR", "log")]]
        words = ["rspamd", "-u", "_rspamd", "-g", "_rspamd", "-c", "/etc/rspamd/rspamd.conf", *places]
        # To a file: the daemon keeps what it is given, and a pipe would never end.
        with open(self.rspamd / "start.log", "wb") as log:
            subprocess.run(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True)
        harness.wait_for(lambda: listens(MILTER_PORT) and listens(RSPAMD_PORT), "rspamd to listen", 90)
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        pid = self.rspamd_pid()
        os.kill(pid, 15)
        harness.wait_for(lambda: not Path(f"/proc/{pid}").exists(), "rspamd to stop", 30)

    def rspamd_pid(self):
        return int((self.rspamd / "run/rspamd.pid").read_text())

    def roots(self):
        return [*super().roots(), self.rspamd_pid()]


def listens(port):
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Plain:
    """Alfa of the demo with one more domain, of ordinary mail, and no policy."""

    recipient = f"bench@{ORDINARY}"

    def __init__(self, folder):
        self.pair = harness.Pair(folder / "plain", start=False)
        alfa = self.pair.alfa
        alfa.command("domain", "add", ORDINARY, "--class", "ordinary")
        alfa.add_mailbox(self.recipient)
        (alfa.folder / "policy.yaml").write_text("apiVersion: sigillo/v1\nkind: Policy\nchains: []\n")
        self.port = alfa.ports["relay"]

    def __enter__(self):
        self.pair.alfa.start()
        return self

    def __exit__(self, kind, *_):
        self.pair.alfa.stop() if kind is None else self.pair.alfa.kill()

    def roots(self):
        return [self.pair.alfa.process.pid]


class Whole(Plain):
    """The same under the shipped policy with all its plugins, and the outside systems that it needs."""

    def __init__(self, folder):
        self.pair = harness.Pair(folder / "whole", start=False)
        alfa = self.pair.alfa
        self.outside = service.Outside(self.pair.folder / "outside", alfa.ports["submissions"] + service.PORTS_AFTER)
        service.establish(self.pair, self.outside)
        alfa.add_mailbox(self.recipient)
        service.settings(alfa, self.recipient, {"archive": "on"})
        self.port = alfa.ports["relay"]
        with self:
            self.teach()

    def teach(self):
        lesson = self.pair.folder / "lesson.eml"
        for kind, words in [("spam", "vinci subito premio gratis clicca offerta"), ("ham", "riunione verbale cliente fattura allegato")]:
            for number in range(LESSONS):
                lesson.write_bytes(harness.message("zoe@elsewhere.example", self.recipient, subject=f"{words} {number}", text=f"{words} numero {number}\r\n"))
                self.pair.alfa.command("antispam", "learn", f"class={kind}", "--file", lesson)
        # Lessons are learned some time after they are taken; before, the classifier is asked for nothing.
        harness.wait_for(lambda: json.loads(self.pair.alfa.command("antispam", "status", "--json"))["classifies"], "the lessons", 180)

    def __enter__(self):
        self.outside.__enter__()
        return super().__enter__()

    def __exit__(self, *error):
        super().__exit__(*error)
        self.outside.__exit__(*error)

    def roots(self):
        return [*super().roots(), self.outside.clamd.process.pid]


def mail(recipient, number, size):
    text = "".join(f"Riga {line} del messaggio {number}: gentile cliente, la riunione resta fissata.\r\n" for line in range(size // 76))
    return harness.message("sender@elsewhere.example", recipient, subject=f"Prova {number}", text=text)


def measure(server, messages, size):
    """{what: figure for one message} of one round, after a few that warm the server up."""
    contents = [mail(server.recipient, number, size) for number in range(messages)]
    times = []
    with smtplib.SMTP("127.0.0.1", server.port, local_hostname="client.example", timeout=120) as session:
        for content in contents[:20]:
            session.sendmail("sender@elsewhere.example", [server.recipient], content)
        settle(server)
        before = processor(server.roots())
        for content in contents:
            began = time.perf_counter()
            session.sendmail("sender@elsewhere.example", [server.recipient], content)
            times.append(time.perf_counter() - began)
    settle(server)
    used = processor(server.roots()) - before
    return {"cpu": used / messages * 1000, "latency": statistics.median(times) * 1000, "memory": resident(server.roots())}


def settle(server):
    """Until what was accepted is delivered too: the processes do nothing any more."""
    last, end = processor(server.roots()), time.monotonic() + SETTLE_MAX
    while time.monotonic() < end:
        time.sleep(0.5)
        now = processor(server.roots())
        if now - last < 0.02:
            return
        last = now


def certified(whole, messages):
    """Milliseconds of both providers' processors for a certified message, until its delivery receipt is there."""
    with whole.outside, harness.Pair(whole.pair.folder) as pair:
        inbox, roots = pair.alfa.inbox(), [pair.alfa.process.pid, pair.beta.process.pid]
        send = lambda: pair.alfa.submit(harness.message(pair.alfa.mailbox, pair.beta.mailbox, text="Buongiorno.\r\n" * 300), [pair.beta.mailbox])
        receipts = lambda: len(inbox.find(x_ricevuta="avvenuta-consegna"))
        already = receipts()
        send()
        harness.wait_for(lambda: receipts() == already + 1, "the first receipt")
        before, began = processor(roots), time.monotonic()
        for _ in range(messages):
            send()
        harness.wait_for(lambda: receipts() == already + 1 + messages, "every delivery receipt", 600, 0.5)
        return (processor(roots) - before) / messages * 1000, (time.monotonic() - began) / messages * 1000


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=4096)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sigillo-cost-", dir=harness.TARGET))
    os.chmod(folder, 0o755)
    servers = {
        "Sigillo, no policy": Plain(folder),
        "Sigillo, whole policy": Whole(folder),
        "Postfix": Postfix(folder),
        "Postfix and rspamd": Filtered(folder),
    }
    rounds = {name: [] for name in servers}
    for number in range(options.rounds):
        for name, server in servers.items():
            with server:
                rounds[name].append(measure(server, options.messages, options.size))
            figures = rounds[name][-1]
            print(f"round {number + 1}: {name:<22} {figures['cpu']:8.3f} ms CPU {figures['latency']:8.3f} ms to 250 {figures['memory']:8.1f} MiB", flush=True)
    median = {name: {what: statistics.median(each[what] for each in found) for what in found[0]} for name, found in rounds.items()}
    print(f"\n{options.messages} messages of {options.size} octets over one connection, medians of {options.rounds} rounds:")
    added = {}
    for name, base in [("Sigillo, whole policy", "Sigillo, no policy"), ("Postfix and rspamd", "Postfix")]:
        added[name] = {what: median[name][what] - median[base][what] for what in median[name]}
        figures = added[name]
        print(f"  {name} adds {figures['cpu']:.3f} ms CPU, {figures['latency']:.3f} ms to the reply, {figures['memory']:.1f} MiB")
    ours, theirs = added["Sigillo, whole policy"], added["Postfix and rspamd"]
    print(f"  ratio (ours / theirs): CPU {ours['cpu'] / theirs['cpu']:.2f}, latency {ours['latency'] / theirs['latency']:.2f}, memory {ours['memory'] / theirs['memory']:.2f}")
    cpu, wall = certified(servers["Sigillo, whole policy"], max(options.messages // 5, 20))
    print(f"  certified mail, both providers, to the delivery receipt: {cpu:.1f} ms CPU and {wall:.1f} ms a message")
    shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        main()
    except harness.Failure as failure:
        sys.exit(f"error: {failure}")
