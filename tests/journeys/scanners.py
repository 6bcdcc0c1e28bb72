"""Real scanners on loopback: ClamAV's daemon with one signature of ours, c-icap in front of it, rspamd, SpamAssassin's
spamd, and liars."""

import os
import shutil
import socket
import subprocess
import threading
from pathlib import Path

import harness

# What the signature knows; nothing that a scanner of this machine would take for a virus.
VIRUS = "SIGILLO-TEST-VIRUS-0001"
NAME = "Sigillo.Test"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def listens(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


class Daemon:
    """A program that listens on a port of its own, for as long as the journey wants."""

    def __init__(self, folder, port=None):
        self.folder, self.port, self.process = Path(folder), port or free_port(), None
        self.folder.mkdir(parents=True)
        self.log = self.folder / "log"

    def start(self):
        with open(self.log, "ab") as log:
            more = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, "start_new_session": True}
            self.process = subprocess.Popen(self.command(), **more)
        harness.wait_for(self._ready, f"{self.folder.name} to listen")
        return self

    def _ready(self):
        if self.process.poll() is not None:
            raise harness.Failure(f"{self.folder.name} ended:\n{self.log.read_text(errors='replace')[-2000:]}")
        return listens(self.port)

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


class Clamd(Daemon):
    """ClamAV's daemon; without official databases it starts in a second."""

    def __init__(self, folder, virus=VIRUS, name=NAME, port=None):
        super().__init__(folder, port)
        (self.folder / "db").mkdir()
        (self.folder / "tmp").mkdir()
        (self.folder / "db" / "test.ndb").write_text(f"{name}:0:*:{virus.encode().hex()}\n")
        (self.folder / "clamd.conf").write_text(
            f"TCPSocket {self.port}\nTCPAddr 127.0.0.1\nDatabaseDirectory {self.folder}/db\n"
            f"TemporaryDirectory {self.folder}/tmp\nForeground yes\nSelfCheck 0\nStreamMaxLength 150M\n"
            "AlertExceedsMax yes\nAlertEncrypted yes\n"
        )

    def command(self):
        return [shutil.which("clamd", path="/usr/sbin:/usr/bin"), "-c", self.folder / "clamd.conf"]


class Icap(Daemon):
    """c-icap with its antivirus service, which asks a `Clamd`."""

    def __init__(self, folder, clamd):
        super().__init__(folder)
        (self.folder / "tmp").mkdir()
        libraries = next(Path("/usr/lib").glob("*/c_icap/virus_scan.so")).parent
        (self.folder / "icap.conf").write_text(
            f"PidFile {self.folder}/pid\nCommandsSocket {self.folder}/ctl\nPort 127.0.0.1:{self.port}\n"
            f"TmpDir {self.folder}/tmp\nServerLog {self.folder}/server.log\nAccessLog {self.folder}/access.log\n"
            f"ModulesDir {libraries}\nServicesDir {libraries}\nTemplateDir /usr/share/c_icap/templates/\n"
            "LoadMagicFile /etc/c-icap/c-icap.magic\nStartServers 1\nMaxServers 1\nThreadsPerChild 8\n"
            f"Module common clamd_mod.so\nclamd_mod.ClamdHost 127.0.0.1\nclamd_mod.ClamdPort {clamd.port}\n"
            "Service antivirus_module virus_scan.so\nvirus_scan.DefaultEngine clamd\n"
            "ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple\n"
            "virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GIF JPEG MSOFFICE\n"
            "virus_scan.SendPercentData 0\nvirus_scan.MaxObjectSize 200M\n"
        )

    def command(self):
        return [shutil.which("c-icap"), "-N", "-f", self.folder / "icap.conf"]


class Liar:
    """Takes the place of a clamd and answers every content with the same octets."""

    def __init__(self, port, answer):
        self.answer, self.ended = answer, False
        self.listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while not self.ended:
            try:
                talk, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(talk,), daemon=True).start()

    def _talk(self, talk):
        with talk, talk.makefile("rb") as heard:
            command = b""
            while not command.endswith(b"\0"):
                octet = heard.read(1)
                if not octet:
                    return
                command += octet
            if command == b"zINSTREAM\0":
                while length := int.from_bytes(heard.read(4), "big"):
                    heard.read(length)
            talk.sendall(self.answer)

    def stop(self):
        self.ended = True
        # A thread that waits in `accept` keeps the port until it is woken.
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def owned(folder, user):
    """Gives a folder to the user that a daemon becomes when root starts it."""
    if os.geteuid() == 0:
        harness.run("chown", "-R", f"{user}:", folder)
        for above in (folder, *folder.parents):
            # The way to it must be open to that user.
            if above != Path("/tmp") and str(above).startswith("/tmp/"):
                above.chmod(above.stat().st_mode | 0o055)


class Rspamd(Daemon):
    """Rspamd with its own rules alone: no DNS, no network, no database."""

    OFF = "rbl surbl fuzzy_check phishing asn dcc url_redirector rspamd_update mx_check bimi reputation spf dkim dmarc arc"

    def __init__(self, folder):
        super().__init__(folder)
        local = self.folder / "local.d"
        for name in ("local.d", "override.d", "db", "logs", "run"):
            (self.folder / name).mkdir()
        (local / "worker-normal.inc").write_text(f'bind_socket = "127.0.0.1:{self.port}"; count = 1;\n')
        (local / "worker-controller.inc").write_text(f'bind_socket = "127.0.0.1:{free_port()}"; password = "q1"; enable_password = "q1";\n')
        (local / "worker-proxy.inc").write_text(f'bind_socket = "127.0.0.1:{free_port()}"; milter = yes; count = 1;\n')
        # A name server that is not there: whatever would ask for a name gets no answer at once.
        nobody = f'dns {{ nameserver = ["127.0.0.1:{free_port()}"]; timeout = 0.1s; retransmits = 1; }}\nneighbours {{}}\n'
        (local / "options.inc").write_text(nobody + "maps_watch_interval = 60min;\n")
        for module in self.OFF.split():
            (local / f"{module}.conf").write_text("enabled = false;\n")
        owned(self.folder, "_rspamd")

    def command(self):
        folders = {"LOCAL_CONFDIR": "", "DBDIR": "/db", "RUNDIR": "/run", "LOGDIR": "/logs"}
        user = ["-u", "_rspamd", "-g", "_rspamd"] if os.geteuid() == 0 else ["-i"]
        return [
            shutil.which("rspamd", path="/usr/bin:/usr/sbin"), "-f", *user, "-c", "/etc/rspamd/rspamd.conf",
            *(f"--var={name}={self.folder}{below}" for name, below in folders.items()),
        ]


class Spamd(Daemon):
    """SpamAssassin's daemon with its local rules alone."""

    def __init__(self, folder):
        super().__init__(folder)
        for name in ("home", "site"):
            (self.folder / name).mkdir()
        rules = "use_bayes 0\nuse_razor2 0\nuse_pyzor 0\nskip_rbl_checks 1\ndns_available no\n"
        (self.folder / "site" / "local.cf").write_text(rules)
        for plugins in Path("/etc/spamassassin").glob("*.pre"):
            shutil.copy(plugins, self.folder / "site")
        owned(self.folder, "debian-spamd")

    def command(self):
        user = ["-u", "debian-spamd"] if os.geteuid() == 0 else []
        return [
            shutil.which("spamd", path="/usr/sbin:/usr/bin"), "-L", "-i", "127.0.0.1", "-p", str(self.port), "-A", "127.0.0.1",
            "--max-children=2", "-x", *user, "-H", self.folder / "home", f"--siteconfigpath={self.folder / 'site'}", "-s", "stderr",
        ]


class Parrot:
    """Takes the place of a scanner that speaks HTTP and answers whatever it hears with the same octets."""

    def __init__(self, port, answer):
        self.answer, self.ended, self.heard = answer, False, 0
        self.listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while not self.ended:
            try:
                talk, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(talk,), daemon=True).start()

    def _talk(self, talk):
        with talk, talk.makefile("rb") as heard:
            length, line = 0, b"first"
            while line not in (b"", b"\r\n"):
                line = heard.readline()
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            heard.read(length)
            self.heard += 1
            talk.sendall(self.answer)

    def stop(self):
        self.ended = True
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
