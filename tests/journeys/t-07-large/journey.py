"""A message of 100 MB goes through both providers with its bytes intact, and neither holds it in memory."""

import base64
import os
import time

import harness

# With its encoding just below the limit of the configuration (104,857,600 octets), envelope included.
ENCODED = 99_000_000
# What a server may need above idle for one such message.
MEMORY_BAR = 64 * 1024 * 1024
SECONDS = 300


def large(sender, recipient):
    line = 76
    raw = os.urandom(ENCODED * 57 // (line + 2))
    text = base64.b64encode(raw)
    lines = b"\r\n".join(text[at : at + line] for at in range(0, len(text), line))
    head = harness.message(sender, recipient, subject="Grande", text="", headers=["Content-Transfer-Encoding: base64"])
    return head.replace(b"text/plain; charset=us-ascii", b"application/octet-stream") + lines + b"\r\n"


def journey():
    with harness.Pair() as pair:
        ada, bruno = pair.alfa.mailbox, pair.beta.mailbox
        small = harness.message(ada, bruno)
        pair.alfa.submit(small, [bruno])
        pair.alfa.inbox().get(x_ricevuta="avvenuta-consegna", x_riferimento_message_id=harness.id_of(small))
        idle = {server.word: server.memory()[0] for server in (pair.alfa, pair.beta)}
        for server in (pair.alfa, pair.beta):
            server.forget_peak()
        sent = large(ada, bruno)
        print(f"  {len(sent) / 1e6:.1f} MB", flush=True)
        began = time.monotonic()
        with pair.alfa.smtp(timeout=SECONDS) as session:
            session.sendmail(ada, [bruno], sent)
        print(f"  accepted after {time.monotonic() - began:.1f} s", flush=True)
        about = {"x_riferimento_message_id": harness.id_of(sent)}
        reader, inbox = pair.beta.inbox(), pair.alfa.inbox()
        envelope = reader.get(SECONDS, x_trasporto="posta-certificata", **about)
        receipt = inbox.get(SECONDS, x_ricevuta="avvenuta-consegna", **about)
        reader.close()
        inbox.close()
        print(f"  delivered, certified and read after {time.monotonic() - began:.1f} s", flush=True)
        peaks = {server.word: server.memory()[1] - idle[server.word] for server in (pair.alfa, pair.beta)}
        for word, peak in peaks.items():
            print(f"  {word}: {idle[word] / 2**20:.1f} MiB idle, at most {peak / 2**20:.1f} MiB above", flush=True)
        harness.verify_signature(envelope, pair.folder / "ca.pem", pair.folder)
        harness.byte_rule(sent, harness.part_bytes(envelope, "postacert.eml"))
        copy = harness.part_bytes(receipt, "postacert.eml")
        harness.equal(harness.sha256(copy), harness.sha256(harness.part_bytes(envelope, "postacert.eml")), "the receipt too holds all of it")
        for word, peak in peaks.items():
            harness.check(peak <= MEMORY_BAR, f"{word}: at most {MEMORY_BAR // 2**20} MiB above idle")


harness.main(journey)
