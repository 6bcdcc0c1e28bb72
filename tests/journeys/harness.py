"""Two certified-mail providers on this machine, and ordinary mail clients to use them with.

Only Python's standard library. Everything lives in one folder, listens on loopback and is stopped at the end, whatever
happens in between. The providers themselves are made by `xtask providers`, so that journeys and demo use the same.
"""

import email
import email.policy
import hashlib
import imaplib
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
XTASK = TARGET / "debug" / "xtask"
SIGILLO = Path(os.environ.get("SIGILLO", TARGET / "debug" / "sigillo"))
VENV = TARGET / "journeys-venv"
LIBRARIES = ["cryptography==45.0.7", "asn1crypto==1.5.1"]

# A server compiles its plugins when it starts with them for the first time.
READY_SECONDS = 180
ARRIVAL_SECONDS = 60

imaplib._MAXLINE = 10_000_000  # a BODYSTRUCTURE or a list of flags may be one long line


class Failure(Exception):
    """What a journey found wrong, in words."""


def check(holds, what):
    """Says what holds, or fails with it."""
    if not holds:
        raise Failure(what)
    print(f"  ok  {what}", flush=True)


def equal(found, expected, what):
    if found != expected:
        raise Failure(f"{what}: {found!r} instead of {expected!r}")
    print(f"  ok  {what}", flush=True)


def wait_for(probe, what, seconds=ARRIVAL_SECONDS, pause=0.1):
    """The first true answer of `probe`."""
    end = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s in vain for {what}")
        time.sleep(pause)


def run(*words, stdin=None, ok=True, **more):
    """Runs a program to its end; returns its output as bytes."""
    done = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, **more)
    if ok and done.returncode != 0:
        said = (done.stdout + done.stderr).decode(errors="replace").strip()
        raise Failure(f"`{' '.join(str(word) for word in words)}` ended with {done.returncode}: {said[-2000:]}")
    return done.stdout


def free_ports():
    """The first of twenty free ports, somewhere else each time, so that two runs do not meet."""
    for _ in range(200):
        base = 25_000 + 20 * int.from_bytes(os.urandom(2), "big") % 7_000
        try:
            for port in range(base, base + 20):
                with socket.socket() as listener:
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    listener.bind(("127.0.0.1", port))
            return base
        except OSError:
            continue
    raise Failure("no free ports")


class Server:
    """One `sigillo serve`."""

    def __init__(self, folder, ca):
        self.folder, self.ca, self.process = Path(folder), Path(ca), None
        self.config, self.log = self.folder / "sigillo.yaml", self.folder / "server.log"

    def start(self, ahead=None):
        """Starts it; with `ahead` such as "+12h" its clock is that much ahead of everybody's (Debian's faketime)."""
        with open(self.log, "ab") as log:
            seen = log.tell()
            command = [SIGILLO, "--config", self.config, "serve"]
            environment = dict(os.environ)
            if ahead:
                # The library itself: its command stays between us and the server, and would take the signals. Waiting
                # is by the monotonic clock, which must stay the machine's own.
                library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
                environment |= {"LD_PRELOAD": str(library), "FAKETIME": ahead, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            # A session of its own: Ctrl-C is for us, who then stop the servers in order.
            more = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True, "env": environment}
            self.process = subprocess.Popen(command, **more)
        try:
            wait_for(lambda: self._ready(seen), f"{self.folder.name} to be ready", READY_SECONDS, 0.02)
        except BaseException:
            self.kill()
            raise
        return self

    def _ready(self, seen):
        with open(self.log, "rb") as log:
            log.seek(seen)
            said = log.read()
        if self.process.poll() is not None:
            raise Failure(f"{self.folder.name} ended with {self.process.returncode}:\n{said.decode(errors='replace')[-3000:]}")
        return re.search(rb"\bready\b", said)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """SIGTERM; returns the exit status."""
        if self.process is None:
            return None
        if self.running():
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
                raise Failure(f"{self.folder.name} did not stop within 30 s of SIGTERM")
        status, self.process = self.process.returncode, None
        return status

    def kill(self):
        """SIGKILL: what a power cut is to a process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def command(self, *words, stdin=None, ok=True):
        """`sigillo` with this server's configuration."""
        return run(SIGILLO, "--config", self.config, *words, stdin=stdin, ok=ok).decode()

    def memory(self):
        """(resident now, the most it ever was) in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        value = lambda name: int(re.search(rf"^{name}:\s+(\d+) kB", status, re.M).group(1)) * 1024
        return value("VmRSS"), value("VmHWM")

    def forget_peak(self):
        """Makes the peak of `memory` begin anew (proc(5), clear_refs)."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def context(self):
        """TLS as a client does it that trusts the demo's authority."""
        return ssl.create_default_context(cafile=self.ca)


class Provider(Server):
    """A server with the names and ports that `xtask providers` gave it."""

    def __init__(self, folder, word):
        super().__init__(folder / word, folder / "ca.pem")
        facts = json.loads((folder / "providers.json").read_text())[word]
        self.word, self.ports = word, facts["ports"]
        self.mailbox, self.domain = facts["mailbox"], facts["domain"]
        self.signer, self.receipts = facts["signer"], facts["receipts"]
        self.passwords = dict(line.split() for line in (folder / "credentials.txt").read_text().splitlines())

    def add_mailbox(self, address, quota=None):
        """One more mailbox; its password is its address turned round."""
        more = ["--quota", str(quota)] if quota else []
        self.passwords[address] = address[::-1]
        self.command("mailbox", "add", address, *more, "--password-stdin", stdin=(address[::-1] + "\n").encode())
        return address

    def smtp(self, user=None, timeout=60):
        """A session of an ordinary client on the submissions port, logged in."""
        user = user or self.mailbox
        session = smtplib.SMTP_SSL("127.0.0.1", self.ports["submissions"], context=self.context(), timeout=timeout)
        session.login(user, self.passwords[user])
        return session

    def submit(self, message, recipients, user=None):
        """Sends these bytes as `user`; returns when the server has answered 250."""
        user = user or self.mailbox
        with self.smtp(user) as session:
            session.sendmail(user, recipients, message)

    def relay(self, message, sender, recipients):
        """Sends these bytes as a foreign server does."""
        with smtplib.SMTP("127.0.0.1", self.ports["relay"], timeout=60) as session:
            session.starttls(context=self.context())
            session.sendmail(sender, recipients, message)

    def inbox(self, user=None, folder="INBOX"):
        return Inbox(self, user or self.mailbox, folder)


class Inbox:
    """A mailbox as an ordinary client sees it, through IMAP."""

    FIELDS = "X-Ricevuta X-Trasporto X-Riferimento-Message-ID Message-ID Subject From To Date X-VerificaSicurezza"

    def __init__(self, provider, user, folder):
        self.provider, self.user, self.folder, self.session = provider, user, folder, None
        self.seen = {}  # UID -> header of what was there

    def open(self):
        if self.session is None:
            ports = self.provider.ports
            self.session = imaplib.IMAP4_SSL("127.0.0.1", ports["imaps"], ssl_context=self.provider.context(), timeout=120)
            self.session.login(self.user, self.provider.passwords[self.user])
            self.session.select(self.folder, readonly=True)
        return self.session

    def close(self):
        if self.session is not None:
            try:
                self.session.logout()
            except (OSError, imaplib.IMAP4.error):
                pass  # the server may be gone, which is what some journeys are about
            self.session = None

    def headers(self):
        """{UID: header} of everything in the folder now."""
        session = self.open()
        session.noop()
        _, found = session.uid("SEARCH", "ALL")
        uids = [int(uid) for uid in (found[0] or b"").split()]
        new = [uid for uid in uids if uid not in self.seen]
        for start in range(0, len(new), 500):
            chosen = ",".join(str(uid) for uid in new[start : start + 500])
            _, answer = session.uid("FETCH", chosen, f"(UID BODY.PEEK[HEADER.FIELDS ({self.FIELDS})])")
            for item in answer:
                if isinstance(item, tuple):
                    uid = int(re.search(rb"UID (\d+)", item[0]).group(1))
                    self.seen[uid] = email.message_from_bytes(item[1], policy=email.policy.default)
        return {uid: self.seen[uid] for uid in uids}

    def find(self, **wanted):
        """UIDs whose header has these values, such as x_ricevuta="accettazione"; "" asks for the field's absence."""
        named = {name.replace("_", "-"): value for name, value in wanted.items()}
        holds = lambda header, name, value: (header[name] or "").strip() == value
        return [uid for uid, header in self.headers().items() if all(holds(header, *pair) for pair in named.items())]

    def wait(self, seconds=ARRIVAL_SECONDS, **wanted):
        """The UID of the first message with such a header, as soon as there is one."""
        what = " ".join(f"{name}={value}" for name, value in wanted.items())
        return wait_for(lambda: self.find(**wanted), f"{what} in the mailbox of {self.user}", seconds)[0]

    def fetch(self, uid, section="BODY.PEEK[]"):
        """The bytes of a message."""
        _, answer = self.open().uid("FETCH", str(uid), f"({section})")
        for item in answer:
            if isinstance(item, tuple):
                return item[1]
        raise Failure(f"UID {uid} of {self.user}: no {section}")

    def get(self, seconds=ARRIVAL_SECONDS, **wanted):
        """Waits for a message and returns its bytes."""
        return self.fetch(self.wait(seconds, **wanted))


class Pair:
    """Alfa and Beta in a folder of their own (a temporary one, removed after success, unless `folder` is given)."""

    def __init__(self, folder=None, start=True):
        self.temporary = folder is None
        self.folder = Path(folder or tempfile.mkdtemp(prefix="sigillo-"))
        if not (self.folder / "providers.json").exists():
            run(XTASK, "providers", "--dir", self.folder, "--base-port", free_ports())
        self.alfa, self.beta = Provider(self.folder, "alfa"), Provider(self.folder, "beta")
        self.begin = start

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        try:
            if self.begin:
                self.alfa.start()
                self.beta.start()
        except BaseException:
            self._end()
            raise
        return self

    def _end(self):
        self.alfa.kill()
        self.beta.kill()

    def __exit__(self, kind, error, trace):
        if kind not in (None, SystemExit, KeyboardInterrupt):
            self._end()
            self.show_logs()
            return
        try:
            for server in (self.alfa, self.beta):
                if server.process is not None:
                    status = server.stop()
                    if status != 0:
                        raise Failure(f"{server.word} ended with {status} after SIGTERM")
        finally:
            self._end()
        if self.temporary and kind is None:
            shutil.rmtree(self.folder)

    def show_logs(self):
        for server in (self.alfa, self.beta):
            if server.log.exists():
                lines = server.log.read_text(errors="replace").splitlines()[-25:]
                print(f"  --- end of {server.log}", *lines, sep="\n  ", file=sys.stderr, flush=True)


def message(sender, recipients, subject="Prova", text="Buongiorno.\r\n", headers=(), message_id=None):
    """A plain message of exactly these bytes, with a Message-ID of its own."""
    message_id = message_id or f"<{os.urandom(8).hex()}@client.example>"
    lines = [
        f"From: {sender}",
        f"To: {', '.join([recipients] if isinstance(recipients, str) else recipients)}",
        f"Subject: {subject}",
        f"Date: {email.utils.formatdate()}",
        f"Message-ID: {message_id}",
        *headers,
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=us-ascii",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n" + text).encode()


def id_of(content):
    """The Message-ID of a message."""
    return header_of(content)["Message-ID"].strip()


def header_of(content):
    head = content.split(b"\r\n\r\n", 1)[0] + b"\r\n\r\n"
    return email.message_from_bytes(head, policy=email.policy.default)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def fields(content):
    """The header section as a list of whole raw fields, and the rest of the bytes after the empty line."""
    head, _, body = content.partition(b"\r\n\r\n")
    raw = re.findall(rb"[^\r\n][^\r\n]*(?:\r\n[ \t][^\r\n]*)*", head)
    return raw, body


def part_bytes(content, filename):
    """The decoded bytes of the attachment of that name; of a message/rfc822 part, exactly as they stand.

    Found by boundaries and not through an e-mail library, which would write the bytes anew.
    """
    found = []
    _walk(content, filename, found)
    if len(found) != 1:
        raise Failure(f"{len(found)} parts named {filename} instead of one")
    return found[0]


def _walk(entity, filename, found):
    raw, body = fields(entity)
    header = email.message_from_bytes(b"\r\n".join(raw) + b"\r\n\r\n", policy=email.policy.default)
    if header.get_filename() == filename:
        if header.get_content_type() == "message/rfc822":
            found.append(body)
        else:
            found.append(email.message_from_bytes(entity, policy=email.policy.default).get_payload(decode=True))
        return
    boundary = header.get_boundary()
    if boundary:
        pieces = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
        for piece in pieces[1:-1]:
            _walk(piece.partition(b"\r\n")[2], filename, found)


def byte_rule(original, postacert):
    """postacert.eml is what the client sent, byte for byte, but for one field, `Message-ID`: in its place stand the
    provider's id and, under another name, the client's (PEC §2.2.1; the rule in full: plugins/pec/README.md)."""
    client_id = id_of(original).encode()
    two = rb"(?mi)^Message-ID: <[^>\r\n]+>\r\nX-Riferimento-Message-ID: " + re.escape(client_id) + rb"\r\n"
    head, _, body = postacert.partition(b"\r\n\r\n")
    equal(len(re.findall(two, head + b"\r\n")), 1, "postacert.eml has the provider's id and the client's")
    own = next(field for field in fields(original)[0] if field.lower().startswith(b"message-id:"))
    restored = re.sub(two, lambda _: own + b"\r\n", head + b"\r\n") + b"\r\n" + body
    equal(sha256(restored), sha256(original), "with the client's id put back it is what was sent (SHA-256)")


def verify_signature(content, ca, folder):
    """`openssl cms -verify` on these bytes; returns the signed part."""
    path = Path(folder) / f"verify-{os.getpid()}.eml"
    path.write_bytes(content)
    try:
        return run("openssl", "cms", "-verify", "-in", path, "-CAfile", ca)
    finally:
        path.unlink()


def python_with_libraries():
    """A Python with the libraries of second opinions: Debian's packages bring them, elsewhere pip does, once."""
    for interpreter in (sys.executable, "/usr/bin/python3", VENV / "bin/python"):
        words = [interpreter, "-c", "import cryptography, asn1crypto"]
        if Path(interpreter).exists() and subprocess.run(words, capture_output=True).returncode == 0:
            return interpreter
    run(sys.executable, "-m", "venv", VENV)
    run(VENV / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *LIBRARIES)
    return VENV / "bin/python"


def python_with(libraries, modules):
    """A Python with these libraries (`NAME==VERSION`) that can import these modules: one of its own, by pip, once."""
    interpreter = VENV / "bin/python"
    words = [interpreter, "-c", f"import {modules}"]
    if interpreter.exists() and subprocess.run(words, capture_output=True).returncode == 0:
        return interpreter
    run(sys.executable, "-m", "venv", VENV)
    run(VENV / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *libraries)
    return interpreter


def valid_daticert(xml, folder):
    """The certification data against the published grammar."""
    path = Path(folder) / f"daticert-{os.getpid()}.xml"
    path.write_bytes(xml)
    try:
        run("xmllint", "--noout", "--nonet", "--dtdvalid", ROOT / "tests/pec/daticert-it.dtd", path)
    finally:
        path.unlink()


def main(journey):
    """Runs a journey as a program: exit status 0 only if it came to its end."""
    # Whoever runs in the background of a shell inherits that Ctrl-C is ignored, and so would what is started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        journey()
    except Failure as failure:
        print(f"  FAILED  {failure}", file=sys.stderr, flush=True)
        sys.exit(1)
