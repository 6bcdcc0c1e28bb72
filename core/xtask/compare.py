"""Accept-to-durable throughput beside Postfix: the same client, machine, disk and run, one ratio.

    compare.py [--messages N] [--connections N] [--rounds N]

Messages of 4 KiB arrive by `smtp-source` on a relay listener; a message counts when its 250 is there, which both servers
give only after it is safe on disk. Postfix then discards what it accepted; Sigillo delivers it to a mailbox, so the
comparison is in Postfix's favour. Rounds alternate; the medians are compared.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/journeys"))
import harness  # noqa: E402

DOMAIN, POSTFIX_PORT, SIGILLO_PORT = "bench.example", 24982, 24983

# Beside what a scratch instance needs: nothing that holds an arriving message back.
MAIN = """\
compatibility_level = 3.6
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
meta_directory = /etc/postfix
queue_directory = {0}/queue
data_directory = {0}/data
mail_owner = postfix
setgid_group = postdrop
myhostname = mail.bench.example
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
smtpd_relay_restrictions = reject_unauth_destination
relay_domains = bench.example
default_transport = discard:
relay_transport = discard:
maillog_file = {0}/maillog
maillog_file_prefixes = {0}
in_flow_delay = 0s
smtpd_client_connection_count_limit = 0
message_size_limit = 104857600
"""
MASTER = """\
127.0.0.1:{1} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
proxymap unix - - n - - proxymap
postlog unix-dgram n - n - 1 postlogd
"""
CONFIGURATION = """\
hostname: mail.bench.example
data-dir: ./data
plugins-dir: ./plugins
policy: ./policy.yaml
listeners:
  - {{ protocol: relay, address: "127.0.0.1:{0}", tls: starttls }}
tls: {{ certificate: tls.pem, key: tls.key }}
log: {{ level: "warn,sigillo_server::server=info" }}
"""


class Postfix:
    port = POSTFIX_PORT

    def __init__(self, folder):
        self.folder = folder / "postfix"
        for name in ("etc", "queue", "data"):
            (self.folder / name).mkdir(parents=True)
        shutil.chown(self.folder / "data", "postfix")
        (self.folder / "etc/main.cf").write_text(MAIN.format(self.folder))
        (self.folder / "etc/master.cf").write_text(MASTER.format(self.folder, self.port))

    def __enter__(self):
        harness.run("postfix", "-c", self.folder / "etc", "start")
        return self

    def __exit__(self, *_):
        master = int((self.folder / "queue/pid/master.pid").read_text())
        harness.run("postfix", "-c", self.folder / "etc", "stop", ok=False)
        harness.wait_for(lambda: not Path(f"/proc/{master}").exists(), "Postfix to stop", 30)


class Sigillo(harness.Server):
    port = SIGILLO_PORT

    def __init__(self, folder):
        super().__init__(folder / "sigillo", folder / "tls.pem")
        (self.folder / "plugins").mkdir(parents=True)
        self.config.write_text(CONFIGURATION.format(self.port))
        (self.folder / "policy.yaml").write_text("apiVersion: sigillo/v1\nkind: Policy\nchains: []\n")
        words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
        harness.run(*words, "-keyout", self.folder / "tls.key", "-out", self.folder / "tls.pem")
        os.chmod(self.folder / "tls.key", 0o600)
        self.command("domain", "add", DOMAIN, "--class", "ordinary")
        self.command("mailbox", "add", f"bench@{DOMAIN}", "--password-stdin", stdin=b"bench-bench\n")

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        self.stop() if kind is None else self.kill()


def measure(server, messages, connections):
    """Messages accepted in a second."""
    words = ["smtp-source", "-d", "-s", str(connections), "-m", str(messages), "-l", "4096", "-M", "client.example"]
    words += ["-f", "sender@elsewhere.example", "-t", f"bench@{DOMAIN}", f"127.0.0.1:{server.port}"]
    began = time.monotonic()
    harness.run(*words)
    return messages / (time.monotonic() - began)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="sigillo-compare-", dir=harness.TARGET))
    os.chmod(folder, 0o755)
    rates = {"Postfix": [], "Sigillo": []}
    servers = {"Postfix": Postfix(folder), "Sigillo": Sigillo(folder)}
    for number in range(options.rounds):
        for name, server in servers.items():
            # One at a time, so that neither has the other's processes beside it; the first few messages warm it up.
            with server:
                measure(server, options.connections * 4, options.connections)
                messages = options.messages if name == "Sigillo" else max(options.messages // 5, 500)
                rates[name].append(measure(server, messages, options.connections))
            print(f"round {number + 1}: {name} {rates[name][-1]:.0f} messages/s", flush=True)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{options.connections} connections, 4 KiB: Postfix {medians['Postfix']:.0f}/s, Sigillo {medians['Sigillo']:.0f}/s, "
          f"ratio {medians['Sigillo'] / medians['Postfix']:.1f}")
    shutil.rmtree(folder)


if __name__ == "__main__":
    try:
        main()
    except harness.Failure as failure:
        sys.exit(f"error: {failure}")
