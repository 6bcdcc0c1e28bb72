"""Every signed message verifies by two tools that are not ours, its certification data is valid, and postacert.eml
is what the client sent."""

import subprocess
from pathlib import Path

import harness


def signed(pair, sent):
    """Every signed message that one exchange makes, by name."""
    about = {"x_riferimento_message_id": harness.id_of(sent)}
    ada, bruno, service = pair.alfa.inbox(), pair.beta.inbox(), pair.alfa.inbox(pair.alfa.receipts)
    messages = {
        "acceptance receipt": (ada.get(x_ricevuta="accettazione", **about), "alfa"),
        "transport envelope": (bruno.get(x_trasporto="posta-certificata", **about), "alfa"),
        "take-charge receipt": (service.get(x_ricevuta="presa-in-carico", **about), "beta"),
        "delivery receipt": (ada.get(x_ricevuta="avvenuta-consegna", **about), "beta"),
    }
    for inbox in (ada, bruno, service):
        inbox.close()
    return messages


def check_signature(pair, name, content, signer):
    harness.verify_signature(content, pair.folder / "ca.pem", pair.folder)
    path = pair.folder / "independent.eml"
    path.write_bytes(content)
    words = [harness.python_with_libraries(), Path(__file__).parent / "independent.py", path, pair.folder / "ca.pem", pair.folder / signer / "provider.pem"]
    harness.run(*words)
    harness.check(True, f"{name}: signed by {signer}, as openssl and the independent check agree")
    altered = content.replace(b"Content-Type: application/xml", b"Content-type: application/xml", 1)
    if altered != content:
        path.write_bytes(altered)
        status = subprocess.run([str(word) for word in words], capture_output=True).returncode
        harness.check(status == 1, f"{name}: one altered letter is noticed")


def messages_of_a_client(pair):
    """Different shapes of what a client may send."""
    ada, bruno = pair.alfa.mailbox, pair.beta.mailbox
    yield "plain", harness.message(ada, bruno)
    yield "trailing blanks, long lines", harness.message(ada, bruno, text="a \t \r\n" + "y" * 998 + "\r\n.\r\n\r\n\r\n")
    odd = ["X-Odd:   kept\r\n  as it   was ", "X-TipoRicevuta: completa", "Subject-Not: x"]
    yield "odd header", harness.message(ada, bruno, subject="=?utf-8?q?perch=C3=A9_no=3F?= =?utf-8?b?4oKs?=", headers=odd)
    parts = "\r\n".join(["--b", "Content-Type: text/plain", "", "one ", "--b", "Content-Type: application/octet-stream",
                         "Content-Transfer-Encoding: base64", "", "AAECAwQF", "--b--", "epilogue"])
    head = harness.message(ada, bruno, text="").replace(b"text/plain; charset=us-ascii", b'multipart/mixed; boundary="b"')
    yield "multipart with an epilogue and no last line end", head + parts.encode() + b"\r\n"


def journey():
    with harness.Pair() as pair:
        for shape, sent in messages_of_a_client(pair):
            print(f"  {shape}", flush=True)
            pair.alfa.submit(sent, [pair.beta.mailbox])
            messages = signed(pair, sent)
            for name, (content, signer) in messages.items():
                check_signature(pair, name, content, signer)
                harness.valid_daticert(harness.part_bytes(content, "daticert.xml"), pair.folder)
                harness.check(True, f"{name}: certification data valid")
            inner = harness.part_bytes(messages["transport envelope"][0], "postacert.eml")
            harness.byte_rule(sent, inner)
            copy = harness.part_bytes(messages["delivery receipt"][0], "postacert.eml")
            harness.equal(harness.sha256(copy), harness.sha256(inner), "the delivery receipt holds the same bytes")


harness.main(journey)
