"""The walk of the demo: two providers that exist already are started under the whole policy, with the outside systems that
it needs; an ordinary client sends a message, and what arrives is fetched, checked and told: the certified message with its
receipts, and around it an alert, a forwarded copy, an archived one, and a package of legal conservation. Called by
`cargo demo`, which has built everything before.

    demo.py DIR [--once]
"""

import email.message
import email.policy
import email.utils
import json
import struct
import sys
import time
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/journeys"))
import harness  # noqa: E402
import service  # noqa: E402

STEPS = 9
# Of the index of a package.
GRAMMAR = harness.ROOT / "plugins/conservation/schema/pindex.xsd"
# Seconds of an «hour» of alerts in the demo, so that the alert comes while somebody looks.
ALERT_HOUR = 4


def step(number, what):
    print(f"[{number}/{STEPS}] {what} ".ljust(84, "."), end=" ", flush=True)


def done(more="ok"):
    print(more, flush=True)


def seal():
    """A PNG drawn here: a red seal, so that the attachment is a real one of some size."""
    side, rows = 240, []
    for y in range(side):
        row = bytearray(b"\0")
        for x in range(side):
            distance = (x - side / 2) ** 2 + (y - side / 2) ** 2
            row += bytes((150, 20, 30)) if distance < 9000 else bytes((200, 60, 60)) if distance < 12000 else b"\xff" * 3
        rows.append(bytes(row))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"".join(rows), 1)) + chunk(b"IEND", b"")


def compose(sender, recipient):
    """What any mail program would make of a short letter with a picture."""
    letter = email.message.EmailMessage(policy=email.policy.SMTP)
    letter["From"], letter["To"] = f"Ada <{sender}>", f"Bruno <{recipient}>"
    letter["Subject"] = "Conferma dell'ordine 42: perché no?"
    letter["Date"] = email.utils.formatdate(localtime=True)
    letter["Message-ID"] = email.utils.make_msgid(domain="client.example")
    letter.set_content("Gentile Bruno,\n\nconfermo l'ordine; in allegato il sigillo.\n\nAda\n", cte="quoted-printable")
    letter.add_attachment(seal(), maintype="image", subtype="png", filename="sigillo.png")
    return letter.as_bytes()


def arrivals(pair, client_id):
    """(name of the file, who receives it, where to look, how to recognise it), in the order of their birth."""
    alfa, beta = pair.alfa, pair.beta
    about = {"x_riferimento_message_id": client_id}
    return [
        ("acceptance", "Ada has her provider's acceptance receipt", alfa.inbox(), {"x_ricevuta": "accettazione", **about}),
        ("transport", "Bruno has the transport envelope", beta.inbox(), {"x_trasporto": "posta-certificata", **about}),
        ("take-charge", "Alfa has Beta's take-charge receipt", alfa.inbox(alfa.receipts), {"x_ricevuta": "presa-in-carico", **about}),
        ("delivery", "Ada has Beta's delivery receipt", alfa.inbox(), {"x_ricevuta": "avvenuta-consegna", **about}),
    ]


def collect(pair, client_id, began):
    """Waits for all four at once and fetches each as soon as it is there: {name: (seconds, bytes)}."""
    waiting, found = arrivals(pair, client_id), {}

    def look():
        for name, _, inbox, wanted in waiting:
            if name not in found and (uids := inbox.find(**wanted)):
                found[name] = (time.time() - began, inbox.fetch(uids[0]))
        return len(found) == len(waiting)

    try:
        harness.wait_for(look, "the four messages")
    except harness.Failure:
        missing = [what for name, what, _, _ in waiting if name not in found]
        raise harness.Failure(f"not within {harness.ARRIVAL_SECONDS} s: {'; '.join(missing)}") from None
    finally:
        for _, _, inbox, _ in waiting:
            inbox.close()
    return found


def verify(pair, original, found):
    """What anybody can check who has the messages and the authority's certificate."""
    for name, (_, content) in found.items():
        harness.verify_signature(content, pair.folder / "ca.pem", pair.folder / "out")
        harness.valid_daticert(harness.part_bytes(content, "daticert.xml"), pair.folder / "out")
        harness.check(True, f"{name}: signature verified by openssl, certification data valid by xmllint")
    inner = harness.part_bytes(found["transport"][1], "postacert.eml")
    harness.byte_rule(original, inner)
    same = harness.part_bytes(found["delivery"][1], "postacert.eml")
    harness.equal(harness.sha256(same), harness.sha256(inner), "the delivery receipt holds the very bytes Bruno received")


def tell(pair, original, began, found, around):
    clock = lambda seconds: time.strftime("%H:%M:%S", time.localtime(began + seconds)) + f"{seconds % 1:.3f}"[1:]
    print(f"\n 1. {time.strftime('%H:%M:%S', time.localtime(began))}      Ada sends «{harness.header_of(original)['Subject']}» with an attachment")
    print(f"                   {harness.id_of(original)}")
    whats = {name: what for name, what, _, _ in arrivals(pair, "")}
    ordered = sorted(found.items(), key=lambda item: item[1][0])
    for number, (name, (seconds, content)) in enumerate(ordered, 2):
        print(f" {number}. {clock(seconds)}  {whats[name]} (out/{name}.eml)")
        print(f"                   {harness.id_of(content)}")
    for number, (what, file) in enumerate(around, len(ordered) + 2):
        print(f" {number}.               {what} (out/{file})")


def private_mailbox(pair):
    """Bruno's ordinary mailbox elsewhere: at Alfa's ordinary domain."""
    return f"bruno@{service.ordinary(pair.alfa)}"


def prepare_services(pair):
    """Bruno's provider switches the services on, and Bruno chooses where he wants to be told."""
    private, beta = private_mailbox(pair), pair.beta
    keep = pair.folder / "outside" / "private.txt"
    if keep.exists():
        pair.alfa.passwords[private] = keep.read_text().strip()
        return
    pair.alfa.add_mailbox(private)
    keep.write_text(pair.alfa.passwords[private] + "\n")
    keep.chmod(0o600)
    chosen = {"archive": "on", "conservation": "on", "forwarding": "allowed", "forward-to": private, "alerts": "allowed"}
    service.settings(beta, beta.mailbox, chosen)


def confirm_alerts(pair):
    """Bruno's private address is told only after he has shown that it is his."""
    private, beta = private_mailbox(pair), pair.beta
    told = json.loads(beta.command("alerts", "list", f"mailbox={beta.mailbox}", "--json"))
    if private in json.dumps(told) and "confirmed" in json.dumps(told):
        return
    inbox = pair.alfa.inbox(private)
    before = set(inbox.headers())
    beta.command("alerts", "add", f"mailbox={beta.mailbox}", f"address={private}")
    uid = harness.wait_for(lambda: set(inbox.headers()) - before, "the code of confirmation").pop()
    beta.command("alerts", "confirm", f"mailbox={beta.mailbox}", f"address={private}", f"code={service.code_in(inbox.fetch(uid))}")
    beta.command("alerts", "frequency", f"mailbox={beta.mailbox}", "email=1")
    inbox.close()


def services(pair, outside, original, found, before):
    """What the services made of the message, each looked at from outside: (what, name of the file)."""
    private, beta, out = private_mailbox(pair), pair.beta, pair.folder / "out"
    inbox = pair.alfa.inbox(private)
    sent_by = lambda word: [uid for uid, header in inbox.headers().items() if uid not in before and word in (header["From"] or "")]
    forward = inbox.fetch(harness.wait_for(lambda: sent_by("inoltro@"), "the forwarded copy")[0])
    (out / "forward.eml").write_bytes(forward)
    envelope = found["transport"][1]
    harness.check(harness.fields(envelope)[1] in forward, "forward: the envelope is inside, byte for byte")
    alert = inbox.fetch(harness.wait_for(lambda: sent_by("avvisi@"), "the alert", 120)[0])
    (out / "alert.eml").write_bytes(alert)
    harness.check(harness.header_of(original)["Subject"] not in str(harness.header_of(alert)), "alert: how many messages came, and nothing of what they say")
    inbox.close()
    copy = archived(pair, harness.id_of(envelope))
    (out / "archived.eml").write_bytes(copy)
    harness.check(harness.fields(envelope)[1] in copy, "archive: the copy in #Archive is the envelope, byte for byte")
    already = set(outside.preserver.packages())
    beta.command("conservation", "run", f"mailbox={beta.mailbox}", "all=yes")
    new = lambda: [path for path in outside.preserver.packages() if path not in already and "/logs/" not in str(path)]
    package = harness.wait_for(new, "the package at the preservation system", 120)[0].read_bytes()
    (out / "package.tar").write_bytes(package)
    harness.check(preserved(pair, outside, harness.sha256(copy)), "conservation: index stamped (openssl ts), grammar held (xmllint), the copy is in it")
    return [
        ("Bruno's private mailbox has a copy without legal value", "forward.eml"),
        ("and the alert that messages came", "alert.eml"),
        ("Bruno's archive has the envelope", "archived.eml"),
        ("The preservation system has the package with it", "package.tar"),
    ]


def archived(pair, message_id):
    """Bruno's copy of a message, through IMAP."""
    name = next(line for line in folders(pair.beta) if line.startswith("#Archive") and line.endswith("Received"))
    inbox = pair.beta.inbox(folder=f'"{name}"')
    try:
        return inbox.fetch(inbox.wait(Message_ID=message_id))
    finally:
        inbox.close()


def folders(provider):
    """Names of every folder of the archive, as IMAP lists them."""
    inbox = provider.inbox()
    _, listed = inbox.open().list('"#Archive/"', "*")
    inbox.close()
    return [line.decode().rpartition('"/" ')[2].strip('"') for line in listed if line]


def preserved(pair, outside, digest):
    """Whether a package is what it says, by tools that are not ours."""
    place = pair.folder / "out" / "package"
    place.mkdir(exist_ok=True)
    contents = service.members(pair.folder / "out" / "package.tar")
    index = next(name for name in contents if name.endswith("PIndex.xml"))
    (place / "PIndex.xml").write_bytes(contents[index])
    (place / "PIndex.xml.tsr").write_bytes(contents[f"{index}.tsr"])
    harness.run("xmllint", "--noout", "--schema", GRAMMAR, place / "PIndex.xml")
    if not outside.stamps.verifies(place / "PIndex.xml"):
        raise harness.Failure("openssl does not verify the stamp over the index of the package")
    return digest in {harness.sha256(content) for content in contents.values()}


def advise(pair, running):
    folder, alfa, beta = pair.folder, pair.alfa, pair.beta
    print("\nTry next")
    print(f"  openssl cms -verify -in {folder}/out/delivery.eml -CAfile {folder}/ca.pem")
    trust = f"--anchors {folder}/ca.pem --index {folder}/providers.ldif"
    print(f"  {harness.SIGILLO} pec verify {folder}/out/delivery.eml --plugins-dir {folder}/plugins {trust}")
    print(f"  {harness.SIGILLO} --config {alfa.config} log search --sender {alfa.mailbox}")
    print(f"  {harness.SIGILLO} --config {alfa.config} log verify")
    print(f"  {harness.SIGILLO} --config {beta.config} forwarding status")
    if running:
        password = beta.passwords[beta.mailbox]
        print(f"  curl --cacert {folder}/ca.pem --user '{beta.mailbox}:{password}' 'imaps://localhost:{beta.ports['imaps']}/INBOX;UID=1'")
        print(f"  {harness.SIGILLO} --config {beta.config} conservation search mailbox={beta.mailbox}")
        print(f"  {harness.SIGILLO} --config {beta.config} alerts list mailbox={beta.mailbox}")
        print(f"  any mail program: IMAP localhost:{beta.ports['imaps']}, SMTP localhost:{beta.ports['submissions']}, both TLS;")
        print(f"  addresses and passwords in {folder}/credentials.txt, authority to trust {folder}/ca.pem")
        print("\nBoth providers are running. Ctrl-C stops them.", flush=True)


def hold(pair):
    """Until Ctrl-C, or until a server ends by itself."""
    while pair.alfa.running() and pair.beta.running():
        time.sleep(0.3)
    raise harness.Failure("a server ended by itself")


def walk(folder, once):
    out = folder / "out"
    out.mkdir(exist_ok=True)
    pair = harness.Pair(folder, start=False)
    step(5, "the world outside: a virus scanner, a timestamp authority, a preservation system")
    with service.Outside(folder / "outside", pair.alfa.ports["submissions"] + service.PORTS_AFTER) as outside:
        service.establish(pair, outside)
        for provider in (pair.alfa, pair.beta):
            policy = provider.folder / "policy.yaml"
            text = policy.read_text()
            policy.write_text(text.replace("      # sms-target:", f"      hour: {ALERT_HOUR}\n      # sms-target:"))
        prepare_services(pair)
        done()
        walk_between(harness.Pair(folder), pair, outside, out, once)
    print("Both providers have stopped.")


def walk_between(running, pair, outside, out, once):
    step(6, "starting Alfa and Beta; the first time they compile their plugins")
    running.alfa.passwords = pair.alfa.passwords
    with running as pair:
        done()
        confirm_alerts(pair)
        private = pair.alfa.inbox(private_mailbox(pair))
        before = set(private.headers())
        private.close()
        original = compose(pair.alfa.mailbox, pair.beta.mailbox)
        (out / "original.eml").write_bytes(original)
        step(7, f"{pair.alfa.mailbox} sends to {pair.beta.mailbox} (SMTP with TLS, port {pair.alfa.ports['submissions']})")
        began = time.time()
        pair.alfa.submit(original, [pair.beta.mailbox])
        found = collect(pair, harness.id_of(original), began)
        done(f"ok, all there in {time.time() - began:.1f} s")
        for name, (_, content) in found.items():
            (out / f"{name}.eml").write_bytes(content)
        step(8, "checking what arrived")
        done("")
        verify(pair, original, found)
        step(9, "what the services around it made: forward, alert, archive, conservation")
        done("")
        around = services(pair, outside, original, found, before)
        tell(pair, original, began, found, around)
        try:
            advise(pair, not once)
            if not once:
                hold(pair)
        except KeyboardInterrupt:
            print("\nstopping")


def main():
    folder, once = Path(sys.argv[1]), "--once" in sys.argv[2:]
    try:
        walk(folder, once)
    except harness.Failure as failure:
        print(f"\nerror: {failure}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"\nerror: {error}; is this demo running already? (--dir and --base-port for another one)", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
