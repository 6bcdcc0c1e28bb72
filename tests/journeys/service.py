"""The whole service: two providers under `policies/pec-provider.yaml`, and the outside systems that it needs on loopback:
ClamAV's daemon, a timestamp authority, and a preservation system that takes what is put to it over HTTP."""

import email
import email.policy
import hashlib
import http.server
import json
import re
import shutil
import sys
import tarfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "t-14-registro"))
import authority  # noqa: E402
import harness  # noqa: E402
import scanners  # noqa: E402

# Ports of the outside systems, counted from the first of the providers: these use fewer than they have.
PORTS_AFTER = 16
# Octets of a package that are taken.
PACKAGE_MAX = 256 * 1024 * 1024


class Preserver:
    """Keeps what is put under a path: the same bytes again are no news, others under the same name are refused."""

    def __init__(self, folder, port):
        self.folder, self.port, self.server = Path(folder), port, None
        self.folder.mkdir(parents=True, exist_ok=True)

    def start(self):
        folder = self.folder

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_PUT(self):
                length = int(self.headers.get("Content-Length", 0))
                if length > PACKAGE_MAX:
                    return self.send_error(413)
                content, place = self.rfile.read(length), self.place()
                if place is None:
                    return self.send_error(400)
                if place.exists() and place.read_bytes() != content:
                    return self.send_error(409)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
                self.say(201, json.dumps({"sha256": hashlib.sha256(content).hexdigest()}).encode())

            def do_GET(self):
                place = self.place()
                if place is None or not place.is_file():
                    return self.send_error(404)
                self.say(200, place.read_bytes())

            def place(self):
                path = self.path.split("?")[0].lstrip("/")
                good = re.fullmatch(r"[A-Za-z0-9@._/-]{1,500}", path) and ".." not in path
                return folder / path if good else None

            def say(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None

    def packages(self):
        return sorted(path for path in self.folder.rglob("*") if path.is_file())


class Outside:
    """All of it, in a folder, on ports that stay the same."""

    def __init__(self, folder, base):
        self.folder = Path(folder)
        first = not self.folder.exists()
        self.folder.mkdir(exist_ok=True)
        # Keys are made once: what was stamped before is still verified.
        self.stamps = authority.Authority(self.folder / "tsa", base, days=1000) if first else authority.Authority.again(self.folder / "tsa", base)
        self.preserver = Preserver(self.folder / "preserved", base + 1)
        # Nothing of it is kept from one time to the next.
        shutil.rmtree(self.folder / "clamd", ignore_errors=True)
        self.clamd = scanners.Clamd(self.folder / "clamd", port=base + 2)

    def __enter__(self):
        self.stamps.start()
        self.preserver.start()
        self.clamd.start()
        return self

    def __exit__(self, *_):
        self.preserver.stop()
        self.stamps.stop()
        self.clamd.stop()


def ordinary(provider):
    """The ordinary domain of a provider."""
    return f"posta.{provider.word}.example"


def establish(pair, outside):
    """Brings both providers under the whole policy, once."""
    for provider, other in ((pair.alfa, pair.beta), (pair.beta, pair.alfa)):
        text = (harness.ROOT / "policies/pec-provider.yaml").read_text()
        text = text.replace("alfa.example", f"{provider.word}.example").replace("Alfa PEC", f"{provider.word.capitalize()} PEC")
        (provider.folder / "policy.yaml").write_text(text)
        config = provider.config.read_text()
        if "conservatore" in config:
            continue
        route = f'    - {{ domain: {ordinary(other)}, to: "127.0.0.1:{other.ports["relay"]}", tls: required }}\n'
        config = config.replace("  routes:\n", "  routes:\n" + route)
        config += (
            f'scanners:\n  clamav: {{ protocol: clamd, address: "127.0.0.1:{outside.clamd.port}", timeout: 20 }}\n'
            f'targets:\n  conservatore:\n    protocol: http\n    url: "http://127.0.0.1:{outside.preserver.port}/{provider.word}"\n'
            "    limits: { retry: [1, 2, 5], expire-hours: 72 }\n"
            f'evidence:\n  timestamps: {{ url: "http://127.0.0.1:{outside.stamps.port}/", anchors: {outside.stamps.root} }}\n'
        )
        provider.config.write_text(config)
        provider.command("domain", "add", ordinary(provider), "--class", "ordinary")


def settings(provider, address, values):
    """Settings of a mailbox, as its administrator sets them."""
    for name, value in values.items():
        provider.command("mailbox", "set", address, name, value)


def code_in(content):
    """The six digits of a code of confirmation in a message."""
    message = email.message_from_bytes(content, policy=email.policy.default)
    body = message.get_body(preferencelist=("plain",)) or message
    found = re.search(r"(?<!\d)(\d{6})(?!\d)", body.get_content())
    if not found:
        raise harness.Failure("there is no code in the message")
    return found.group(1)


def members(package):
    """The files of a package by name."""
    with tarfile.open(package) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}
