"""Real virus scanners on loopback: ClamAV's daemon with one signature of ours, c-icap in front of it, and a liar."""

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

    def __init__(self, folder):
        self.folder, self.port, self.process = Path(folder), free_port(), None
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

    def __init__(self, folder, virus=VIRUS, name=NAME):
        super().__init__(folder)
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
