"""What stands around alerts: a mail server of other people's making, an SMS gateway (Kannel), and a message centre.

In front of the message centre stands stunnel, for those who want TLS. Each is started on loopback with a configuration of its own and ended at the end. The mail server (aiosmtpd) and the
message centre (smpp34) are libraries with a server in them; the few lines around them only write down what came.
"""

import json
import socket
import subprocess
import sys

import harness

VENV = harness.TARGET / "journeys-venv-telephones"
LIBRARIES = ["aiosmtpd==1.4.6", "smpp34==1.5.0"]

MAIL_SERVER = """\
import asyncio, json, sys
from aiosmtpd.controller import Controller

class Keeps:
    async def handle_DATA(self, server, session, envelope):
        record = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "message": envelope.original_content.decode()}
        with open(sys.argv[2], "a") as out:
            out.write(json.dumps(record) + "\\n")
        return "250 taken"

Controller(Keeps(), hostname="127.0.0.1", port=int(sys.argv[1])).start()
asyncio.new_event_loop().run_forever()
"""

MESSAGE_CENTRE = """\
import asyncio, json, sys
import smpp34

async def main():
    server = smpp34.Server(host="127.0.0.1", port=int(sys.argv[1]), system_id="centre")
    await server.start()
    count = 0
    while True:
        event = await server.next()
        if not isinstance(event, smpp34.SubmitSmEvent):
            continue
        count += 1
        record = {"from": event.source_addr, "to": event.destination_addr, "coding": event.data_coding,
                  "class": event.esm_class, "text": bytes(event.short_message).hex()}
        with open(sys.argv[2], "a") as out:
            out.write(json.dumps(record) + "\\n")
        event.accept(message_id=f"m{count}")

asyncio.run(main())
"""

KANNEL = """\
group = core
admin-port = {admin}
admin-password = nobody
admin-interface = 127.0.0.1
smsbox-port = {box}
smsbox-interface = 127.0.0.1
box-allow-ip = "127.0.0.1"
log-file = "{folder}/bearerbox.log"
log-level = 1

group = smsc
smsc = smpp
smsc-id = centre
host = 127.0.0.1
port = {centre}
transceiver-mode = true
smsc-username = kannel
smsc-password = secret
system-type = ""
reconnect-delay = 1

group = smsbox
bearerbox-host = 127.0.0.1
bearerbox-port = {box}
sendsms-port = {http}
sendsms-interface = 127.0.0.1
log-file = "{folder}/smsbox.log"
log-level = 1

group = sendsms-user
username = sigillo
password = {password}
max-messages = 10
default-sender = Sigillo
"""


TLS_FRONT = """\
foreground = yes
pid =
[centre]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{centre}
cert = {certificate}
key = {folder}/key.pem
"""


def python():
    """A Python with the two libraries, made once."""
    interpreter = VENV / "bin/python"
    words = [interpreter, "-c", "import aiosmtpd, smpp34"]
    if not interpreter.exists() or subprocess.run(words, capture_output=True).returncode != 0:
        harness.run(sys.executable, "-m", "venv", VENV)
        harness.run(VENV / "bin/pip", "install", "--quiet", "--disable-pip-version-check", *LIBRARIES)
    return interpreter


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Process:
    """A program that listens on a port, started and ended."""

    def __init__(self, words, port, log):
        self.words, self.port, self.log, self.process = [str(word) for word in words], port, log, None

    def start(self):
        with open(self.log, "ab") as log:
            more = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True}
            self.process = subprocess.Popen(self.words, **more)
        harness.wait_for(lambda: self._up(), f"{self.words[0]} on port {self.port}")
        return self

    def _up(self):
        if self.process.poll() is not None:
            raise harness.Failure(f"{self.words[:2]} ended with {self.process.returncode}: {self.log.read_text()[-2000:]}")
        return listens(self.port)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None


class Scripted(Process):
    """A library's server that writes down what comes, a line of JSON each."""

    def __init__(self, folder, name, script, port):
        self.came = folder / f"{name}.jsonl"
        path = folder / f"{name}.py"
        path.write_text(script)
        super().__init__([python(), path, port, self.came], port, folder / f"{name}.log")

    def records(self):
        return [json.loads(line) for line in self.came.read_text().splitlines()] if self.came.exists() else []


def mail_server(folder, port):
    return Scripted(folder, "mail-server", MAIL_SERVER, port)


def message_centre(folder, port):
    return Scripted(folder, "message-centre", MESSAGE_CENTRE, port)


class Gateway:
    """Kannel: HTTP in front, the message centre behind."""

    def __init__(self, folder, centre, ports, password):
        self.folder = folder / "kannel"
        self.folder.mkdir()
        self.http = ports[2]
        conf = self.folder / "kannel.conf"
        names = {"admin": ports[0], "box": ports[1], "http": ports[2], "centre": centre, "folder": self.folder, "password": password}
        conf.write_text(KANNEL.format(**names))
        conf.chmod(0o600)
        self.bearer = Process(["/usr/sbin/bearerbox", conf], ports[1], self.folder / "bearerbox.out")
        self.box = Process(["/usr/sbin/smsbox", conf], ports[2], self.folder / "smsbox.out")

    def start(self):
        self.bearer.start()
        self.box.start()
        return self

    def stop(self):
        self.box.stop()
        self.bearer.stop()


class TlsFront:
    """stunnel in front of a message centre, with a certificate for `centre.example` under a root of its own."""

    def __init__(self, folder, centre, port):
        self.folder, self.centre, self.port, self.process = folder / "stunnel", centre, port, None
        self.folder.mkdir()
        for root in ("root", "stranger"):
            self._openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{root}.key", "-out", f"{root}.pem",
                          "-days", "400", "-subj", f"/CN={root}")
        self._openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "request.pem",
                      "-subj", "/CN=centre.example", "-addext", "subjectAltName=DNS:centre.example")
        for root in ("root", "stranger"):
            self._openssl("x509", "-req", "-in", "request.pem", "-CA", f"{root}.pem", "-CAkey", f"{root}.key",
                          "-CAcreateserial", "-days", "400", "-copy_extensions", "copy", "-out", f"by-{root}.pem")

    def _openssl(self, *words):
        harness.run("openssl", *words, cwd=self.folder)

    @property
    def root(self):
        return self.folder / "root.pem"

    def start(self, signed_by="root"):
        conf = self.folder / "stunnel.conf"
        certificate = self.folder / f"by-{signed_by}.pem"
        conf.write_text(TLS_FRONT.format(port=self.port, centre=self.centre, certificate=certificate, folder=self.folder))
        self.process = Process(["/usr/bin/stunnel4", conf], self.port, self.folder / "log").start()
        return self

    def stop(self):
        if self.process is not None:
            self.process.stop()


def text_of(record):
    """The words of a short message, from the alphabet that it says, without the header of a part."""
    octets = bytes.fromhex(record["text"])
    if record["class"] & 0x40:
        octets = octets[octets[0] + 1 :]
    if record["coding"] == 8:
        return octets.decode("utf-16-be")
    basic = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
    return "".join(basic[octet] for octet in octets)
