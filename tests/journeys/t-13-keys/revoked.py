"""Beta's certificates are revoked, or nobody knows: what Alfa makes of the envelopes under them.

Lists and answers come from a server of this journey on loopback; the answers are those of `openssl ocsp`.
"""

import http.server
import json
import threading

import authority
import harness

ENTRY = "{ key: provider.key, certificate: provider.pem, chain: ../ca.pem }"


class Publisher:
    """Where the authority publishes its list, and its responder answers."""

    def __init__(self, ca):
        publisher, self.ca = self, ca
        self.list, self.listing, self.answering, self.asked = ca.folder / "published.crl", True, True, 0
        self.index = ca.folder / "index.txt"

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.give(publisher.list.read_bytes() if publisher.listing else None)

            def do_POST(self):
                request = self.rfile.read(int(self.headers["Content-Length"]))
                self.give(publisher.answer(request) if publisher.answering else None)

            def give(self, content):
                self.send_response(200 if content else 503)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, request):
        self.asked += 1
        (self.ca.folder / "question.der").write_bytes(request)
        self.ca.openssl("ocsp", "-index", self.index, "-CA", "../ca.pem", "-rsigner", "responder.pem",
                        "-rkey", "responder.key", "-reqin", "question.der", "-respout", "answer.der", "-nmin", "10")
        return (self.ca.folder / "answer.der").read_bytes()

    def publish(self, following=1):
        self.ca.list(self.list, following=following)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def figure(server, name):
    """A value of the page for monitoring."""
    page = harness.run("curl", "-s", f"http://127.0.0.1:{server.ports['metrics']}/metrics").decode()
    return [float(line.rsplit(" ", 1)[1]) for line in page.splitlines() if line.startswith(name)]


def certificates(pair, ca, publisher):
    """Three certificates for Beta's key: two with a list, the third with a responder too."""
    point = f"crlDistributionPoints=URI:{publisher.address}/ca.crl"
    access = f"authorityInfoAccess=OCSP;URI:{publisher.address}/ocsp"
    for name, more in [("first", point), ("second", point), ("third", f"{point}\n{access}")]:
        ca.certify(pair.folder / "beta/provider.key", pair.folder / f"beta/{name}.pem", pair.beta, more=more)
        authority.into_index(pair, pair.beta, pair.folder / f"beta/{name}.pem")
    ca.issue(ca.folder / "responder", pair.beta, profile="responder")


def use(pair, name):
    """Beta signs with another certificate."""
    text = pair.beta.config.read_text()
    now = next(line for line in text.splitlines() if line.strip().startswith("provider: {"))
    pair.beta.config.write_text(text.replace(now, "  provider: " + ENTRY.replace("provider.pem", f"{name}.pem")))
    pair.beta.stop()
    pair.beta.start()


def send(pair):
    """A message from Bruno to Ada."""
    sent = harness.message(pair.beta.mailbox, pair.alfa.mailbox)
    pair.beta.submit(sent, [pair.alfa.mailbox])
    return sent


def arrives(pair, what):
    about = {"x_trasporto": "posta-certificata", "x_riferimento_message_id": harness.id_of(send(pair))}
    ada = pair.alfa.inbox()
    ada.wait(**about)
    ada.close()
    harness.check(True, f"{what}: Ada has the transport envelope")


def anomaly(pair, what):
    ada = pair.alfa.inbox()
    before = len(ada.find(x_trasporto="errore"))
    sent = send(pair)
    harness.wait_for(lambda: len(ada.find(x_trasporto="errore")) > before, f"{what}: an anomaly envelope")
    about = {"x_trasporto": "posta-certificata", "x_riferimento_message_id": harness.id_of(sent)}
    harness.equal(ada.find(**about), [], f"{what}: Ada has an anomaly envelope, and no certified one")
    ada.close()


def listed(pair, ca, publisher):
    use(pair, "first")
    harness.wait_for(lambda: figure(pair.alfa, "sigillo_revocation_list_expires_seconds"), "Alfa to have the list")
    arrives(pair, "not on the list")
    ca.revoke(pair.folder / "beta/first.pem")
    publisher.publish()
    number = ca.openssl("crl", "-inform", "DER", "-in", publisher.list, "-noout", "-crlnumber")
    kept = lambda: [ca.openssl("crl", "-inform", "DER", "-in", path, "-noout", "-crlnumber")
                    for path in (pair.folder / "alfa/data/revocation").glob("*.crl")]
    harness.wait_for(lambda: number in kept(), "Alfa to fetch the newer list")
    anomaly(pair, "revoked by the list")


def stale(pair, publisher):
    use(pair, "second")
    publisher.publish(following=15 / 86_400)
    left = lambda: figure(pair.alfa, "sigillo_revocation_list_expires_seconds")[0]
    harness.wait_for(lambda: left() < 15, "Alfa to fetch a list that ends soon")
    publisher.listing = False
    harness.wait_for(lambda: left() < 0, "the list to end")
    ada, sent = pair.alfa.inbox(), send(pair)
    waiting = lambda: json.loads(pair.beta.command("queue", "list", "--json"))
    harness.wait_for(lambda: "cannot be verified now" in json.dumps(waiting()), "Beta to be put off")
    about = {"x_trasporto": "posta-certificata", "x_riferimento_message_id": harness.id_of(sent)}
    harness.equal(ada.find(**about), [], "a stale list: the envelope waits at Beta")
    harness.equal(len(ada.find(x_trasporto="errore")), 1, "a stale list: no anomaly is made of it")
    harness.wait_for(lambda: "a revocation list has ended" in pair.alfa.log.read_text(), "the alarm in Alfa's log")
    publisher.publish()
    publisher.listing = True
    ada.wait(**about)
    ada.close()
    harness.check(True, "the list is renewed: the envelope is delivered")


def responder(pair, publisher):
    use(pair, "third")
    arrives(pair, "the responder says good")
    harness.check(publisher.asked > 0, "the responder was asked")
    harness.check("gave no answer that counts" not in pair.alfa.log.read_text(), "and its answer counted")
    pair.alfa.stop()
    publisher.answering = False
    pair.alfa.start()
    arrives(pair, "the responder is down, the list is fresh")
    harness.check("a responder gave no answer that counts" in pair.alfa.log.read_text(), "the log says so")
    # The list of before is still in use; only the responder knows of the revocation.
    pair.alfa.stop()
    publisher.ca.revoke(pair.folder / "beta/third.pem")
    publisher.answering = True
    pair.alfa.start()
    anomaly(pair, "the responder says revoked")


def journey(pair, ca):
    publisher = Publisher(ca)
    try:
        certificates(pair, ca, publisher)
        publisher.publish()
        authority.configure(pair.alfa, "  directory: ../providers.ldif\n",
                            "  directory: ../providers.ldif\n  revocation: { every: 10s, ocsp: prefer }\n")
        pair.alfa.start()
        pair.beta.start()
        listed(pair, ca, publisher)
        stale(pair, publisher)
        responder(pair, publisher)
    finally:
        publisher.stop()
