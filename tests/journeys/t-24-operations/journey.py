"""Operations of plugins: somebody at the command line asks the running server, which runs the step under its policy."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

import harness

DOMAIN = "gamma.example"
POLICY = """\
apiVersion: sigillo/v1
kind: Policy
plugins:
  sums:
    component: does-as-asked@0.1
    grants: { state: true }
  looks: { component: null@0.1 }
chains:
  - { name: access, stage: access, steps: [{ plugin: looks, on-failure: defer }] }
"""


def configuration(ports):
    return (
        f"hostname: mail.{DOMAIN}\ndata-dir: ./data\nplugins-dir: ./plugins\npolicy: ./policy.yaml\nlisteners:\n"
        f'  - {{ protocol: submission, address: "127.0.0.1:{ports["submissions"]}", tls: implicit }}\n'
        "tls: { certificate: tls.pem, key: tls.key }\n"
    )


def server(pair):
    """A server of its own: its folder is made here, with Alfa's TLS certificate and free ports."""
    folder = pair.folder / "gamma"
    shutil.copytree(harness.TARGET / "guests", folder / "plugins")
    for name in ("tls.pem", "tls.key"):
        shutil.copy(pair.folder / "alfa" / name, folder / name)
    gamma = harness.Server(folder, pair.folder / "ca.pem")
    gamma.config.write_text(configuration(pair.alfa.ports))
    (folder / "policy.yaml").write_text(POLICY)
    return gamma


def ask(gamma, *words, stdin=None):
    """(exit status, what stood on standard output, what stood on standard error)"""
    command = [harness.SIGILLO, "--config", gamma.config, "does-as-asked", *words]
    done = subprocess.run([str(word) for word in command], input=stdin, capture_output=True)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def asks_and_is_answered(gamma):
    status, out, _ = ask(gamma, "add", "by=40", "word=hush", "--json")
    harness.equal((status, json.loads(out)["sum"]), (0, 40), "an operation answers")
    status, out, _ = ask(gamma, "add", "by=2")
    harness.equal((status, out.splitlines()[0]), (0, "sum: 42"), "what it kept is there at the next one, and people can read it")
    status, _, err = ask(gamma, "fail")
    harness.check(status == 1 and "cannot do that" in err, "a failure is told in the plugin's words, exit status 1")
    harness.equal(json.loads(ask(gamma, "add", "by=0", "--json")[1])["sum"], 42, "and leaves nothing")
    for words, expected in [
        (["add"], "needs by="),
        (["add", "by=1", "bye=2"], "takes no argument 'bye'"),
        (["add", "by"], "not NAME=VALUE"),
        (["multiply"], "unrecognized subcommand"),
    ]:
        status, _, err = ask(gamma, *words)
        harness.check(status == 2 and expected in err, f"{' '.join(words)}: told what is wrong, exit status 2")
    log = json.loads(gamma.command("log", "search", "--log", "front-end", "--kind", "operation", "--json"))
    first = log[0]
    harness.check(("argument.by" in str(first)) and "hush" not in json.dumps(log), "who asked for what is in the log, secrets are not")


def files_both_ways(gamma):
    small = harness.message(f"ada@{DOMAIN}", f"bruno@{DOMAIN}", text="Ciao, perch\u00e9?\r\n".encode().decode("latin-1"))
    large = harness.message(f"ada@{DOMAIN}", f"bruno@{DOMAIN}", text=("x" * 76 + "\r\n") * 300_000)
    for content in (small, large):
        given, back = gamma.folder / "given.eml", gamma.folder / "back.eml"
        given.write_bytes(content)
        back.unlink(missing_ok=True)
        status, out, err = ask(gamma, "give-back", "--file", given, "--out", back, "--json")
        harness.equal((status, err), (0, ""), f"{len(content)} octets go along")
        harness.equal(harness.sha256(back.read_bytes()), harness.sha256(content), "and come back (SHA-256)")
        harness.equal(back.stat().st_mode & 0o777, 0o600, "for nobody else")
    status, _, err = ask(gamma, "give-back", "--file", given, "--out", back)
    harness.check(status == 1 and "is there already" in err, "a file that is there is not overwritten")
    harness.equal(ask(gamma, "give-back", "--json")[0], 1, "`valid: false` is exit status 1")
    status, _, err = ask(gamma, "give-back", "--file", "-", stdin=b"Subject: x\r\n\r\none\rtwo\r\n")
    harness.check(status == 1 and "CRLF" in err, "a bare CR does not enter")


def work_in_pieces(gamma):
    before = json.loads(ask(gamma, "add", "by=0", "--json")[1])["sum"]
    status, out, _ = ask(gamma, "in-pieces", "pieces=50", "--json")
    harness.equal((status, json.loads(out)["sum"]), (0, before + 50), "fifty pieces, each once")
    command = [harness.SIGILLO, "--config", gamma.config, "does-as-asked", "in-pieces", "pieces=1000000"]
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    sum_now = lambda: json.loads(ask(gamma, "add", "by=0", "--json")[1])["sum"]
    harness.wait_for(lambda: sum_now() > before + 60, "some pieces")
    process.send_signal(signal.SIGINT)
    process.wait(30)
    stopped = harness.wait_for(lambda: settled(sum_now), "the work to stop")
    harness.check(stopped < before + 1_000_000, "Ctrl-C ends the work between two pieces")


def settled(value):
    first = value()
    time.sleep(0.3)
    return first if value() == first else None


def the_socket(gamma):
    path = gamma.folder / "data" / "control.sock"
    harness.equal(path.stat().st_mode & 0o777, 0o600, "the socket is for its owner")
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\n", b"{}\n", b"\xff" * 300_000 + b"\n", b'{"head":{"kind":"operation"},"body":1}\n'):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(path))
            try:
                connection.sendall(garbage)
                connection.shutdown(socket.SHUT_WR)
                harness.equal(connection.recv(10), b"", f"{garbage[:20]!r}… is not answered")
            except (BrokenPipeError, ConnectionResetError):
                harness.check(True, f"{garbage[:20]!r}… ends the connection")
    if os.getuid() == 0:
        path.chmod(0o666)  # as if the mode did not hold: the server asks whose the connection is
        program = (
            f"import os,socket; os.setuid(65534); c=socket.socket(socket.AF_UNIX); c.settimeout(20); c.connect({str(path)!r})\n"
            "try:\n    c.sendall(b'{}\\n'); print(c.recv(10))\nexcept OSError: print(b'')"
        )
        for folder in (gamma.folder, gamma.folder / "data", gamma.folder.parent):
            folder.chmod(0o755)
        said = subprocess.run(["/usr/bin/python3", "-c", program], capture_output=True).stdout.strip()
        harness.equal(said, b"b''", "another user is not served")
    harness.equal(ask(gamma, "add", "by=0", "--json")[0], 0, "the server goes on")


def journey():
    with harness.Pair(start=False) as pair:
        gamma = server(pair)
        try:
            status, _, err = ask(gamma, "add", "by=1")
            harness.check(status == 1 and "does not run" in err, "without a server the command says so")
            gamma.start()
            asks_and_is_answered(gamma)
            files_both_ways(gamma)
            work_in_pieces(gamma)
            the_socket(gamma)
            total = json.loads(ask(gamma, "add", "by=0", "--json")[1])["sum"]
            gamma.kill()
            gamma.start()
            harness.equal(json.loads(ask(gamma, "add", "by=0", "--json")[1])["sum"], total, "after SIGKILL all is as it was answered")
            harness.equal(gamma.stop(), 0, "the server stops")
            harness.check(not (gamma.folder / "data" / "control.sock").exists(), "and its socket is gone")
            gamma.command("log", "verify")
        except BaseException:
            print(gamma.log.read_text(errors="replace")[-4000:] if gamma.log.exists() else "")
            raise
        finally:
            gamma.kill()


harness.main(journey)
