"""The publisher of an index of providers, as a provider sees it: an HTTPS server that wants a client certificate, and a
directory server. Everything it does wrong on purpose is named in `Publisher.mode`."""

import http.server
import os
import socket
import ssl
import subprocess
import threading
from pathlib import Path

import harness

EXTENSIONS = """[signer]
keyUsage = critical,digitalSignature
[server]
subjectAltName = IP:127.0.0.1
keyUsage = critical,digitalSignature,keyEncipherment
extendedKeyUsage = serverAuth,clientAuth
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
"""

# The schema of PEC §4.5, and what a directory server needs to hold it.
SCHEMA = """
attributetype ( 1.3.6.1.4.1.16572.2.2.1 NAME 'providerCertificateHash' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.3.6.1.4.1.16572.2.2.2 NAME 'providerCertificate' SYNTAX 1.3.6.1.4.1.1466.115.121.1.8 )
attributetype ( 1.3.6.1.4.1.16572.2.2.3 NAME 'providerName' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.16572.2.2.4 NAME 'mailReceipt' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.16572.2.2.5 NAME 'managedDomains' EQUALITY caseIgnoreIA5Match SYNTAX 1.3.6.1.4.1.1466.115.121.1.26 )
attributetype ( 1.3.6.1.4.1.16572.2.2.6 NAME 'LDIFLocationURL' EQUALITY caseExactMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
attributetype ( 1.3.6.1.4.1.16572.2.2.7 NAME 'providerUnit' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 SINGLE-VALUE )
objectclass ( 1.3.6.1.4.1.16572.2.1.1 NAME 'LDIFLocationURLObject' SUP top AUXILIARY MAY ( LDIFLocationURL ) )
objectclass ( 1.3.6.1.4.1.16572.2.1.2 NAME 'provider' SUP top STRUCTURAL MUST ( providerCertificateHash $ providerCertificate $ providerName $ mailReceipt $ managedDomains ) MAY ( description $ LDIFLocationURL $ providerUnit ) )
"""


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Publisher:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir()
        (self.folder / "extensions").write_text(EXTENSIONS)
        self.port, self.body, self.mode, self.server, self.asked = free_port(), b"", "whole", None, 0
        self.release = threading.Event()
        self.certificate("root", "root", None)
        for name in ("server", "client"):
            self.certificate(name, "server", "root")
        for name in ("signer", "stranger", "gamma"):
            self.certificate(name, "signer", None)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def openssl(self, *words):
        return harness.run("openssl", *words, cwd=self.folder)

    def certificate(self, name, section, issuer):
        """`name.key` and `name.pem`, signed by itself or by another."""
        self.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
                     "-subj", f"/C=IT/O=Indice/CN={name}")
        by = ["-CA", f"{issuer}.pem", "-CAkey", f"{issuer}.key", "-CAcreateserial"] if issuer else ["-signkey", f"{name}.key"]
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-days", "30", "-extfile", "extensions", "-extensions", section,
                     "-out", f"{name}.pem", *by)
        (self.folder / f"{name}.key").chmod(0o600)

    def sign(self, ldif, signer="signer"):
        """The index as it is published: PKCS#7 with the content inside, binary DER (PEC §4.5)."""
        (self.folder / "index.ldif").write_bytes(ldif)
        self.openssl("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", "index.ldif", "-out", "index.p7m",
                     "-signer", f"{signer}.pem", "-inkey", f"{signer}.key")
        return (self.folder / "index.p7m").read_bytes()

    @property
    def url(self):
        return f"https://127.0.0.1:{self.port}/igpec.ldif.p7m"

    def start(self):
        publisher = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                publisher.asked += 1
                publisher.answer(self)

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        context.load_verify_locations(self.folder / "root.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.release.set()
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def answer(self, request):
        body, mode = self.body, self.mode
        request.send_response(503 if mode == "away" else 200)
        request.send_header("Content-Type", "application/pkcs7-mime; smime-type=signed-data")
        if mode == "huge":
            request.send_header("Content-Length", str(200 * 2**20))
            request.end_headers()
            try:
                for _ in range(200):
                    request.wfile.write(b"0" * 2**20)
            except OSError:
                pass  # the reader has had enough
            return
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if mode == "cut":
            request.wfile.write(body[: len(body) // 2])
        elif mode == "slow":
            request.wfile.write(body[:10])
            self.release.wait()
        else:
            request.wfile.write(body)
        request.close_connection = True


class Slapd:
    """A directory server with one tree, on loopback, with TLS from the first byte."""

    ADMIN = ["-x", "-D", "cn=admin,o=postacert", "-w", "segreto"]

    def __init__(self, folder, publisher):
        self.folder, self.port, self.process = Path(folder), free_port(), None
        (self.folder / "db").mkdir(parents=True)
        (self.folder / "pec.schema").write_text(SCHEMA)
        (self.folder / "slapd.conf").write_text(
            "include /etc/ldap/schema/core.schema\n"
            f"include {self.folder}/pec.schema\npidfile {self.folder}/pid\nargsfile {self.folder}/args\n"
            "modulepath /usr/lib/ldap\nmoduleload back_mdb\n"
            f"TLSCACertificateFile {publisher.folder}/root.pem\nTLSCertificateFile {publisher.folder}/server.pem\n"
            f"TLSCertificateKeyFile {publisher.folder}/server.key\n"
            "sizelimit size.soft=50 size.pr=100 size.prtotal=unlimited\n"
            f"database mdb\nmaxsize 33554432\nsuffix o=postacert\nrootdn cn=admin,o=postacert\nrootpw segreto\ndirectory {self.folder}/db\n"
        )
        self.environment = {**os.environ, "LDAPTLS_CACERT": str(publisher.folder / "root.pem")}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process is not None:
            self.process.terminate()
            self.process.wait(30)

    @property
    def url(self):
        return f"ldaps://127.0.0.1:{self.port}"

    def start(self, ldif):
        (self.folder / "first.ldif").write_bytes(ldif)
        harness.run("/usr/sbin/slapadd", "-f", self.folder / "slapd.conf", "-l", self.folder / "first.ldif")
        # In the foreground, so that it is ours to end.
        words = ["/usr/sbin/slapd", "-d", "0", "-f", self.folder / "slapd.conf", "-h", self.url]
        with open(self.folder / "log", "wb") as log:
            self.process = subprocess.Popen([str(w) for w in words], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        harness.wait_for(lambda: socket.socket().connect_ex(("127.0.0.1", self.port)) == 0, "slapd")

    def modify(self, ldif):
        harness.run("ldapmodify", "-H", self.url, *self.ADMIN, stdin=ldif.encode(), env=self.environment)
