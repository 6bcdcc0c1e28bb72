"""A timestamp authority for a journey: `openssl ts` behind a small HTTP server on loopback."""

import contextlib
import http.server
import subprocess
import threading
from pathlib import Path

import harness

SETTINGS = """
[req]
distinguished_name=dn
[dn]
[root]
basicConstraints=critical,CA:TRUE
keyUsage=critical,keyCertSign,cRLSign
[stamping]
keyUsage=critical,digitalSignature
extendedKeyUsage=critical,timeStamping
[tsa]
default_tsa=t
[t]
serial=serial
crypto_device=builtin
signer_cert=tsa.pem
signer_key=tsa.key
certs=root.pem
signer_digest=sha256
default_policy=1.3.6.1.4.1.99999.1
digests=sha256,sha384,sha512
accuracy=secs:1
clock_precision_digits=3
ordering=yes
tsa_name=yes
ess_cert_id_chain=no
ess_cert_id_alg=sha256
"""


class Authority:
    """Keys and certificates in a folder; answers while it is started."""

    def __init__(self, folder, port=0, days=20):
        self._begin(folder, port)
        self.folder.mkdir()
        (self.folder / "tsa.cnf").write_text(SETTINGS)
        (self.folder / "serial").write_text("01\n")
        key = lambda name: self.openssl("genrsa", "-out", f"{name}.key", "2048")
        key("root"), key("tsa")
        self.openssl("req", "-x509", "-key", "root.key", "-subj", f"/CN=Root of {self.folder.name}", "-days", str(days + 10),
                     "-out", "root.pem", "-config", "tsa.cnf", "-extensions", "root")
        self.openssl("req", "-new", "-key", "tsa.key", "-subj", "/C=IT/O=Marche/CN=TSA", "-out", "tsa.csr", "-config", "tsa.cnf")
        self.openssl("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial",
                     "-days", str(days), "-out", "tsa.pem", "-extfile", "tsa.cnf", "-extensions", "stamping")

    def _begin(self, folder, port):
        self.folder, self.port, self.server, self.questions = Path(folder), port, None, 0
        self.lock = threading.Lock()  # the tool counts in a file
        self.ahead = None  # such as "+47d": its clock is that much ahead (Debian's faketime)
        self.authorization = None  # what a question must show, if anything
        self.last, self.instead = None, []  # the last genuine answer; what the next questions are answered with

    @classmethod
    def again(cls, folder, port=0):
        """The one whose keys lie in this folder."""
        authority = cls.__new__(cls)
        authority._begin(folder, port)
        return authority

    @property
    def root(self):
        return self.folder / "root.pem"

    def openssl(self, *words):
        return harness.run("openssl", *words, cwd=self.folder)

    def answer(self, question):
        with self.lock:
            self.questions += 1
            (self.folder / "q.tsq").write_bytes(question)
            ahead = ["faketime", "-f", self.ahead] if self.ahead else []
            harness.run(*ahead, "openssl", "ts", "-reply", "-config", "tsa.cnf", "-queryfile", "q.tsq", "-out", "r.tsr", cwd=self.folder)
            self.last = (self.folder / "r.tsr").read_bytes()
            return self.last

    def start(self):
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                question = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers["Content-Type"] != "application/timestamp-query":
                    return self.send_error(415)
                if authority.authorization and self.headers["Authorization"] != authority.authorization:
                    return self.send_error(401)
                answer = authority.instead.pop(0) if authority.instead else authority.answer(question)
                self.send_response(200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # who asked may have died meanwhile
                    self.wfile.write(answer)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def verifies(self, file):
        """Whether `openssl ts` finds the stamp beside a file to be of it and of this authority."""
        words = ["openssl", "ts", "-verify", "-data", file, "-in", f"{file}.tsr", "-CAfile", self.root]
        return subprocess.run([str(word) for word in words], capture_output=True).returncode == 0
