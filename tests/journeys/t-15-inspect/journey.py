"""`sigillo pec verify` and `decode`: anybody with a file can tell what it is and whether it is genuine, without a server."""

import json
import os
import subprocess
import sys

import harness

# Above what a message of some kilobytes takes: a message of 100 MB is read by ranges.
MEMORY_BAR = 32 * 1024 * 1024
LARGE = 99_000_000
# The fields of an answer: other programs read them. A new one may be added, none may go.
DECODED = {"type", "title", "header", "notes"}
VERIFIED = {"valid", "result", "type", "title", "checks", "provider", "differences", "notes", "not-checked"}


# The peak of a process counts what its parent held when it was born: so the parent is a small one.
MEASURED = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[2:]).returncode
open(sys.argv[1], "w").write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss))
sys.exit(status)
"""


class Inspector:
    """`sigillo pec …` as somebody uses it who has the files and no server: from a folder without a configuration."""

    def __init__(self, pair):
        self.pair, self.folder, self.memory = pair, pair.folder / "inspected", 0
        self.folder.mkdir()

    def file(self, name, content):
        path = self.folder / name
        path.write_bytes(content)
        return path

    def run(self, command, *words, stdin=None):
        """(exit status, what was printed)."""
        call = [harness.SIGILLO, "pec", command, "--plugins-dir", self.pair.folder / "plugins", *words]
        environment = {**os.environ, "XDG_CACHE_HOME": str(self.folder / "cache")}
        environment.pop("SIGILLO_CONFIG", None)
        peak = self.folder / "peak"
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, peak, *[str(word) for word in call]],
            input=stdin or b"",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=environment,
        )
        self.memory = int(peak.read_text()) * 1024
        return done.returncode, done.stdout.decode()

    def trust(self):
        return ["--anchors", self.pair.folder / "ca.pem", "--index", self.pair.folder / "providers.ldif"]

    def verify(self, path, *words, stdin=None):
        """(exit status, the answer) with everything given."""
        status, text = self.run("verify", path, "--json", *self.trust(), *words, stdin=stdin)
        try:
            return status, json.loads(text)
        except ValueError:
            raise harness.Failure(f"verify {path}: no JSON (exit status {status}): {text[:2000]}") from None


def collect(pair):
    """One message of each kind, by the word of its type, as their readers get them."""
    ada, bruno = pair.alfa, pair.beta
    sent = harness.message(ada.mailbox, bruno.mailbox, subject="Perche no?", headers=["X-TipoRicevuta: completa"])
    ada.submit(sent, [bruno.mailbox])
    lost = harness.message(ada.mailbox, "nessuno@pec.beta.example")
    ada.submit(lost, ["nessuno@pec.beta.example"])
    blind = harness.message(ada.mailbox, bruno.mailbox, headers=["Bcc: nascosto@pec.beta.example"])
    ada.submit(blind, [bruno.mailbox])
    foreign = harness.message("mario@ordinaria.example", ada.mailbox, subject="Saluti")
    ada.relay(foreign, "mario@ordinaria.example", [ada.mailbox])
    about = lambda message: {"x_riferimento_message_id": harness.id_of(message)}
    inbox, other, service = ada.inbox(), bruno.inbox(), ada.inbox(ada.receipts)
    found = {
        "transport-envelope": other.get(x_trasporto="posta-certificata", **about(sent)),
        "acceptance-receipt": inbox.get(x_ricevuta="accettazione", **about(sent)),
        "take-charge-receipt": service.get(x_ricevuta="presa-in-carico", **about(sent)),
        "delivery-receipt": inbox.get(x_ricevuta="avvenuta-consegna", **about(sent)),
        "non-delivery-notice": inbox.get(x_ricevuta="errore-consegna", **about(lost)),
        "non-acceptance-notice": inbox.get(x_ricevuta="non-accettazione", **about(blind)),
        "anomaly-envelope": inbox.get(x_trasporto="errore", message_id=harness.id_of(foreign)),
    }
    for box in (inbox, other, service):
        box.close()
    return sent, found


def genuine(inspector, messages):
    for word, content in messages.items():
        path = inspector.file(f"{word}.eml", content)
        status, found = inspector.verify(path)
        harness.equal((status, found["valid"], found["type"]), (0, True, word), f"{word}: verified")
        harness.check(VERIFIED <= set(found), f"{word}: the answer has every field")
        harness.check(all(check["outcome"] == "passed" for check in found["checks"]), f"{word}: every check passed")
        harness.equal((found["differences"], found["notes"]), ([], []), f"{word}: nothing deviates")
        status, text = inspector.run("decode", path, "--json")
        harness.check(status == 0 and DECODED <= set(json.loads(text)), f"{word}: decoded")


def altered(content, old, new):
    if content.count(old) < 1:
        raise harness.Failure(f"{old} is not in the message")
    return content.replace(old, new, 1)


def flipped(content, at):
    """One letter for another at this place."""
    byte = content[at : at + 1]
    return content[:at] + (b"B" if byte != b"B" else b"C") + content[at + 1 :]


def forged(inspector, messages):
    """One byte each: in what is signed, in the signature, in the header that nothing signs."""
    envelope = messages["transport-envelope"]
    data = envelope.index(b"PD94bWwg") + 200
    # The value of the signature is the last of what CMS holds.
    signature = envelope.rindex(b"\r\n--") - 120
    while envelope[signature : signature + 1] in b"\r\n":
        signature -= 1
    cases = {
        "certification data": (flipped(envelope, data), "C3", "integrity"),
        "signature": (flipped(envelope, signature), "C3", "integrity"),
        "Subject": (altered(envelope, b"Subject: POSTA", b"Subject: PASTA"), "C4", "agreement"),
        "X-Trasporto": (altered(envelope, b"X-Trasporto: posta", b"X-Trasporto: pasta"), "C4", "form"),
        "From": (altered(envelope, b"Per conto di: ada", b"Per conto di: eda"), "C4", "agreement"),
    }
    for what, (content, check, name) in cases.items():
        status, found = inspector.verify(inspector.file("forged.eml", content))
        failed = [(c["check"], c["name"]) for c in found["checks"] if c["outcome"] == "failed"]
        # What is altered may be out of form too; the first check that fails is the one.
        harness.equal((status, failed[:1]), (1, [(check, name)]), f"one letter of {what}: not valid, and the check is named")
    header = [d["field"] for d in inspector.verify(inspector.file("forged.eml", cases["Subject"][0]))[1]["differences"]]
    harness.equal(header, ["Subject"], "the field that was altered is named")


def as_saved(inspector, sent, messages):
    """As mail programs save messages, and as pipes bring them."""
    envelope = messages["transport-envelope"]
    status, found = inspector.verify(inspector.file("lf.eml", envelope.replace(b"\r\n", b"\n")))
    harness.equal((status, found["valid"]), (0, True), "a copy with bare LF is verified")
    harness.check("bare LF" in found["notes"][0], "and it is said")
    mbox = b"From MAILER-DAEMON Thu Nov 26 10:00:00 2026\n" + envelope.replace(b"\r\n", b"\n")
    harness.equal(inspector.verify(inspector.file("mbox", mbox))[0], 0, "below the line of a mailbox file too")
    harness.equal(inspector.verify("-", stdin=envelope)[0], 0, "and from standard input")
    _, text = inspector.run("decode", inspector.file("original.eml", envelope), "--json")
    original = json.loads(text)["original"]
    inner = harness.part_bytes(envelope, "postacert.eml")
    harness.equal((original["sha256"], original["size"]), (harness.sha256(inner), len(inner)), "the original's digest")
    subject = [field["value"] for field in original["header"] if field["name"] == "Subject"]
    harness.equal(subject, [harness.header_of(sent)["Subject"]], "and its subject")


def not_given(inspector, messages):
    path = inspector.file("envelope.eml", messages["transport-envelope"])
    status, text = inspector.run("verify", path)
    harness.check(status == 1 and "not checked: no anchors given" in text, "without anchors nothing is called valid")
    harness.check("no index given" in text and "digest and signature are those of the signed part" in text, "what holds is told")
    status, text = inspector.run("verify", path, "--anchors", inspector.pair.folder / "ca.pem")
    harness.check(status == 0 and text.startswith("valid: yes\n"), "anchors alone tell a provider's authority")
    status, _ = inspector.verify(path, "--at", "2001-01-01")
    harness.equal(status, 1, "before the certificate's time it is not valid")


def usage(inspector, messages):
    path = inspector.file("envelope.eml", messages["transport-envelope"])
    status, found = inspector.verify(inspector.file("garbage.eml", os.urandom(20_000).replace(b"\n", b"x")))
    harness.equal((status, found["type"]), (1, "ordinary"), "garbage is no certified message")
    cases = [
        (["verify", inspector.folder / "nowhere.eml"], 1, "nowhere.eml"),
        (["verify"], 2, "<FILE>"),
        (["verifi", path], 2, "verify"),
        (["verify", path, "--at", "yesterday"], 2, "yesterday"),
    ]
    for words, wanted, said in cases:
        status, text = inspector.run(*words)
        harness.check(status == wanted and said in text, f"{' '.join(map(str, words))[:40]}: exit status {wanted}, says what")
    run = lambda *words: subprocess.run([harness.SIGILLO, *words], capture_output=True, text=True, cwd=inspector.folder)
    folder = ["--plugins-dir", str(inspector.pair.folder / "plugins")]
    unknown = run("pek", *folder)
    harness.check(unknown.returncode == 2 and "did you mean 'pec'" in unknown.stderr, "a plugin that is none: exit status 2")
    told = run("pec", "--help", *folder)
    harness.check(told.returncode == 0 and "decode" in told.stdout and "verify" in told.stdout, "the plugin's commands are told")
    inspector.file("sigillo.yaml", pair_config(inspector.pair))
    for words in (["--help"], ["--config", "sigillo.yaml", "--help"]):
        listed = run(*words)
        harness.check(listed.returncode == 0 and "pec verify" in listed.stdout, f"and among the server's own ({' '.join(words)})")
    garbled = subprocess.run([os.fsencode(harness.SIGILLO), b"\xff"], capture_output=True)
    harness.check(garbled.returncode == 2 and b"panicked" not in garbled.stderr, "a word that is no UTF-8: exit status 2, no panic")
    (inspector.folder / "sigillo.yaml").unlink()


def pair_config(pair):
    """The configuration of one of the providers, for another folder."""
    return pair.alfa.config.read_bytes().replace(b"../plugins", str(pair.folder / "plugins").encode())


def large(inspector):
    """A message of 100 MB: as much time as its bytes take, and no more memory than a small one."""
    pair = inspector.pair
    small = inspector.memory
    text = (b"A" * 76 + b"\r\n") * (LARGE // 78)
    head = harness.message(pair.alfa.mailbox, pair.beta.mailbox, text="", headers=["Content-Transfer-Encoding: base64"])
    sent = head.replace(b"text/plain; charset=us-ascii", b'application/pdf; name="grande.pdf"') + text
    with pair.alfa.smtp(timeout=300) as session:
        session.sendmail(pair.alfa.mailbox, [pair.beta.mailbox], sent)
    about = {"x_riferimento_message_id": harness.id_of(sent)}
    reader = pair.beta.inbox()
    path = inspector.file("large.eml", reader.get(300, x_trasporto="posta-certificata", **about))
    reader.close()
    status, found = inspector.verify(path)
    harness.equal((status, found["valid"]), (0, True), f"{path.stat().st_size / 1e6:.0f} MB verified")
    above = [inspector.memory - small]
    status, answer = inspector.run("decode", path, "--json")
    above.append(inspector.memory - small)
    [attachment] = json.loads(answer)["original"]["attachments"]
    harness.equal((status, attachment["size"]), (0, LARGE // 78 * 57), "and decoded, its attachment by octets and digest")
    print(f"  memory above a small message: {', '.join(f'{octets / 2**20:.1f} MiB' for octets in above)}", flush=True)
    harness.check(max(above) <= MEMORY_BAR, f"at most {MEMORY_BAR // 2**20} MiB more than a small message takes")


def journey():
    with harness.Pair() as pair:
        sent, messages = collect(pair)
        inspector = Inspector(pair)
        genuine(inspector, messages)
        forged(inspector, messages)
        as_saved(inspector, sent, messages)
        not_given(inspector, messages)
        usage(inspector, messages)
        large(inspector)


harness.main(journey)
