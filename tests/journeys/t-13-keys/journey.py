"""Keys in a hardware module, a token that goes and comes back, certificates that are renewed and that expire, the
register of what was signed; then revocation, by lists and by responders."""

import json
import os
import smtplib

import authority
import harness
import revoked

MODULE = "/usr/lib/softhsm/libsofthsm2.so"
PIN = "4711"
ENTRY = "{ key: provider.key, certificate: provider.pem, chain: ../ca.pem }"


class Token:
    """A token of SoftHSM with a key that was made in it."""

    def __init__(self, pair):
        self.folder, self.alfa = pair.folder / "softhsm", pair.folder / "alfa"
        (self.folder / "tokens").mkdir(parents=True)
        conf = self.folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {self.folder}/tokens\nobjectstore.backend = file\nlog.level = ERROR\n")
        os.environ["SOFTHSM2_CONF"] = str(conf)
        harness.run("softhsm2-util", "--init-token", "--free", "--label", "pec", "--pin", PIN, "--so-pin", "5678")
        tool = ["pkcs11-tool", "--module", MODULE, "--token-label", "pec", "--login", "--pin", PIN]
        harness.run(*tool, "--keypairgen", "--key-type", "rsa:2048", "--label", "provider", "--id", "01")
        harness.run(*tool, "--read-object", "--type", "pubkey", "--label", "provider", "-o", self.folder / "public.der")
        self.public = self.folder / "public.pem"
        harness.run("openssl", "pkey", "-pubin", "-inform", "DER", "-in", self.folder / "public.der", "-out", self.public)
        pin = self.alfa / "token.pin"
        pin.write_text(PIN + "\n")
        pin.chmod(0o600)
        self.entry = (f"{{ token: {{ module: {MODULE}, label: pec, object-label: provider, pin-file: token.pin }}, "
                      f"certificate: token.pem, chain: ../ca.pem }}")

    def go(self):
        (self.folder / "tokens").rename(self.folder / "away")
        (self.folder / "tokens").mkdir()

    def come(self):
        (self.folder / "tokens").rmdir()
        (self.folder / "away").rename(self.folder / "tokens")


def walk(pair):
    """One message with everything that it makes: {name: (content, provider that signed it)}."""
    sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox)
    pair.alfa.submit(sent, [pair.beta.mailbox])
    about = {"x_riferimento_message_id": harness.id_of(sent)}
    ada, bruno, service = pair.alfa.inbox(), pair.beta.inbox(), pair.alfa.inbox(pair.alfa.receipts)
    messages = {
        "acceptance receipt": (ada.get(x_ricevuta="accettazione", **about), pair.alfa),
        "transport envelope": (bruno.get(x_trasporto="posta-certificata", **about), pair.alfa),
        "take-charge receipt": (service.get(x_ricevuta="presa-in-carico", **about), pair.beta),
        "delivery receipt": (ada.get(x_ricevuta="avvenuta-consegna", **about), pair.beta),
    }
    for inbox in (ada, bruno, service):
        inbox.close()
    return messages


def register(server):
    return json.loads(server.command("log", "search", "--kind", "signature", "--json"))


def recorded(pair, messages, before):
    """Each signed message has exactly one record in its signer's register, and nothing else is there."""
    for server in (pair.alfa, pair.beta):
        wanted = sorted(harness.sha256(authority.signer(pair, content)[1])
                        for content, by in messages.values() if by is server)
        details = [dict(record["details"]) for record in register(server)[before[server.word]:]]
        harness.equal(sorted(one["content-sha256"] for one in details), wanted,
                      f"{server.word}: one record for each message that it signed")
        harness.equal({(one["key"], one["plugin"]) for one in details}, {("provider", "pec")},
                      f"{server.word}: with key and plugin")
        before[server.word] += len(details)


def refused(pair, what):
    """A submission is put off, and nothing leaves."""
    sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox)
    signed = len(register(pair.alfa))
    try:
        pair.alfa.submit(sent, [pair.beta.mailbox])
    except smtplib.SMTPDataError as error:
        harness.equal(error.smtp_code, 451, f"{what}: a submission is answered 451")
    else:
        raise harness.Failure(f"{what}: the submission was accepted")
    ada = pair.alfa.inbox()
    harness.equal(ada.find(x_riferimento_message_id=harness.id_of(sent)), [], f"{what}: no receipt")
    ada.close()
    harness.equal(json.loads(pair.alfa.command("queue", "list", "--json")), [], f"{what}: nothing waits to leave")
    harness.equal(len(register(pair.alfa)), signed, f"{what}: nothing in the register")


def in_token(pair, ca):
    token = Token(pair)
    ca.certify_public(token.public, pair.folder / "alfa/token.pem", pair.alfa)
    authority.into_index(pair, pair.alfa, pair.folder / "alfa/token.pem")
    authority.configure(pair.alfa, ENTRY, token.entry)
    pair.alfa.start()
    pair.beta.start()
    messages, before = walk(pair), {"alfa": 0, "beta": 0}
    own = authority.serial(pair.folder / "alfa/token.pem")
    for name, (content, by) in messages.items():
        found, _ = authority.signer(pair, content)
        harness.equal(found == own, by is pair.alfa, f"{name}: openssl verifies it, signed by {by.word}'s key")
    recorded(pair, messages, before)
    token.go()
    refused(pair, "the token is gone")
    token.come()
    recorded(pair, walk(pair), before)
    harness.check(True, "the token is back: mail flows")
    pair.alfa.command("log", "verify")
    harness.check(True, "the message log is whole")
    return token


def renewed(pair, token, ca):
    """The old key in its file, the new one in the token."""
    new = authority.serial(pair.folder / "alfa/token.pem")
    old = authority.serial(pair.folder / "alfa/provider.pem")
    later = token.entry.replace("{ token", '{ from: "2099-01-01T00:00:00Z", token', 1)
    lists = [f"\n    - {ENTRY}\n    - {later}", f"\n    - {ENTRY}\n    - {token.entry}"]
    current = token.entry
    for text, serial, what in [(lists[0], old, "before its instant"), (lists[1], new, "after it")]:
        authority.configure(pair.alfa, f"provider: {current}", f"provider: {text}")
        current = text
        pair.alfa.stop()
        pair.alfa.start()
        content, _ = walk(pair)["transport envelope"]
        harness.equal(authority.signer(pair, content)[0], serial, f"renewal, {what}: the right key signs")
        lines = json.loads(pair.alfa.command("keys", "list", "--json"))
        used = {line["serial"]: line["in-use"] for line in lines}
        harness.equal(used, {old: serial == old, new: serial == new}, f"renewal, {what}: keys list says so")
        by_sha1 = {line["serial"]: line["sha1"] for line in lines}
        harness.equal(by_sha1[old], authority.fingerprint(pair.folder / "alfa/provider.pem"), "with the name in the index")
    return current


def expired(pair, ca, current):
    key = pair.folder / "alfa/provider.key"
    ca.certify(key, pair.folder / "alfa/expired.pem", pair.alfa, days=(-20, -1))
    ca.certify(key, pair.folder / "alfa/ending.pem", pair.alfa, days=(-20, 10))
    entry = ENTRY.replace("provider.pem", "ending.pem")
    authority.configure(pair.alfa, f"provider: {current}", f"provider: {entry}")
    code, said = authority.status(pair.alfa, "check")
    harness.check(code == 0 and "W704" in said and "ask for the next one" in said, "a key that ends soon: check warns")
    authority.configure(pair.alfa, entry, ENTRY.replace("provider.pem", "expired.pem"))
    code, said = authority.status(pair.alfa, "check")
    harness.check(code == 78 and "E512" in said and "expired at" in said, "an expired certificate: check says so")
    harness.equal(authority.status(pair.alfa, "keys", "list")[0], 1, "keys list ends with 1")
    pair.alfa.stop()
    pair.alfa.start()
    harness.wait_for(lambda: "no certificate of the key is valid now" in pair.alfa.log.read_text(), "the log to say so")
    refused(pair, "the certificate has expired")


def journey():
    with harness.Pair(start=False) as pair:
        ca = authority.Authority(pair)
        token = in_token(pair, ca)
        expired(pair, ca, renewed(pair, token, ca))
    with harness.Pair(start=False) as pair:
        revoked.journey(pair, authority.Authority(pair))


harness.main(journey)
