"""Legal preservation: what the archive holds since 45 days, and the logs, deposited at real systems over SFTP, S3 and HTTPS,
byte for byte, with stamped indexes that other software verifies; found, shown and exported again. A server with another
host key gets nothing, one that does not know us nothing either, and when an operator has mended it everything goes."""

import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree
from pathlib import Path

import harness

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "t-14-registro"))
from authority import Authority  # noqa: E402
from services import Https, S3, Sftp, Wire  # noqa: E402

SCHEMA = harness.ROOT / "plugins/conservation/schema/pindex.xsd"
SINCRO = "{http://www.uni.com/U3011/sincro-v2/}"
METADATA = "{urn:sigillo:conservation:1}"
MESSAGES = 4
# Everything is delivered today; the provider's clock goes ahead.
LATER = ["+47d", "+48d", "+49d"]


def plugins(target, protocol):
    # What nginx answers to a PUT has no digest in it.
    confirmation = "\n      confirmation: taken" if protocol == "http" else ""
    return f"""
  archive:
    component: archive@0.1
    config: {{ sender: archivio@alfa.example }}
    grants:
      archive: true
      mailboxes: read
      state: true
      submit: {{ from: [archivio@alfa.example] }}
      evidence: true
  conservation:
    component: conservation@0.1
    config:
      target: {target}
      protocol: {protocol}
      provider: Alfa PEC S.p.A.
      provider-id: VATIT-01234567890
      log-security-manager: Livia Log
      package-messages: 3{confirmation}
    grants:
      archive: true
      evidence: true
      mailboxes: read
      outbox: {{ targets: [{target}], limits: {{ cpu: 10s, wall: 60s, host-calls: 100000 }} }}
      registro: read
      state: true
      timers: {{ on-failure: defer, limits: {{ cpu: 30s, wall: 120s, memory: 128MiB, read: 2GiB, write: 64MiB, host-calls: 500000 }} }}
      timestamps: true

# Nothing here may be skipped"""


def policy(shipped, target, protocol):
    """The shipped policy, with the archive before the access point and behind the delivery point."""
    step = "      - { plugin: archive, on-failure: defer, limits: { wall: 60s } }\n"
    text = shipped.replace("\n# Nothing here may be skipped", plugins(target, protocol), 1)
    access = text.index("    steps:\n", text.index("  - name: access-point")) + len("    steps:\n")
    text = text[:access] + step + text[access:]
    delivery = text.index("  - name: delivery-point")
    end = text.find("\n\n", delivery)
    end = len(text.rstrip()) if end < 0 else end
    return text[:end].rstrip() + "\n" + step + text[end:]


def ask(provider, operation, *words, ok=True):
    command = [harness.SIGILLO, "--config", provider.config, "conservation", operation, *words, "--json"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if ok and done.returncode != 0:
        raise harness.Failure(f"conservation {operation} {words} ended with {done.returncode}: {done.stdout} {done.stderr}")
    return json.loads(done.stdout) if done.stdout.strip().startswith("{") else {"said": done.stderr, "status": done.returncode}


def archived(provider, mailbox):
    return json.loads(provider.command("archive", "search", mailbox, "--json"))


def logged(provider, kind):
    return json.loads(provider.command("log", "search", "--json", "--kind", kind, "--limit", "1000"))


def settled(provider, mailbox):
    """Nothing of a mailbox waits any more."""
    def probe():
        status = ask(provider, "status", f"mailbox={mailbox}")
        if status["refused"] or status["expired"]:
            raise harness.Failure(f"a deposit failed: {status}")
        return status["queued"] == 0 and not archived(provider, mailbox)
    harness.wait_for(probe, f"everything of {mailbox} to be confirmed", 120, 0.5)


def examine(package, authority, folder):
    """A package by other software: tarfile, hashlib, xmllint, openssl ts. Returns {name: content} of its files."""
    with tarfile.open(fileobj=io.BytesIO(package)) as tar:
        files = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
    place = folder / f"package-{hashlib.sha256(package).hexdigest()[:12]}"
    (place / "schema").mkdir(parents=True, exist_ok=True)
    for name in ("PIndex.xml", "PIndex.xml.tsr", "schema/metadata.xsd"):
        (place / name).write_bytes(files[name])
    harness.run("xmllint", "--noout", "--schema", SCHEMA, place / "PIndex.xml")
    harness.equal(files["schema/metadata.xsd"], (SCHEMA.parent / "metadata.xsd").read_bytes(), "the grammar of the metadata comes along")
    harness.check(authority.verifies(place / "PIndex.xml"), "xmllint finds the index valid, and `openssl ts -verify` accepts its stamp")
    root = xml.etree.ElementTree.fromstring(files["PIndex.xml"])
    listed = {}
    for file in root.iter(f"{SINCRO}File"):
        path, digest = file.find(f"{SINCRO}Path").text, file.find(f"{SINCRO}Hash").text
        if hashlib.sha256(files[path]).hexdigest() != digest:
            raise harness.Failure(f"{path} has another digest than the index says")
        listed[path] = file
    own = {"PIndex.xml", "PIndex.xml.tsr", "schema/metadata.xsd"}
    content = {name: octets for name, octets in files.items() if name not in own}
    harness.equal({name for name in content if not name.endswith(".tsr")}, set(listed), "the index lists every file, each with its SHA-256")
    return content, listed


def deliver(pair, mailbox):
    """Messages for a mailbox of Alfa; returns what was delivered, by digest."""
    inbox = pair.alfa.inbox(mailbox)
    for number in range(MESSAGES):
        sent = harness.message(pair.beta.mailbox, mailbox, subject=f"Fattura {number}", text="riga\r\n" * (number * 2000 + 1))
        pair.beta.submit(sent, [mailbox])
        inbox.wait(x_trasporto="posta-certificata", subject=f"POSTA CERTIFICATA: Fattura {number}")
    contents = [inbox.fetch(uid) for uid in inbox.headers()]
    inbox.close()
    return {hashlib.sha256(content).hexdigest(): content for content in contents}


def same_messages(packages, delivered, authority, folder):
    """What lies at a system is what was delivered, each message once."""
    found = []
    for package in packages.values():
        content, listed = examine(package, authority, folder)
        harness.check(all(element.find(f".//{METADATA}mailbox") is not None for element in listed.values()), "each message has its metadata")
        found += [hashlib.sha256(octets).hexdigest() for octets in content.values()]
    harness.equal(sorted(found), sorted(delivered), "Python's tarfile and hashlib find every delivered message, byte for byte, once")


def set_policy(provider, shipped, target, protocol):
    (provider.folder / "policy.yaml").write_text(policy(shipped, target, protocol))


def still_waits(provider, mailbox, words, what):
    """Packages wait in the outbox because of what these words say; nothing has left the archive."""
    last = lambda: [r["last"]["text"] for r in json.loads(provider.command("outbox", "list", "--json")) if r["state"] == "waiting" and r["attempts"]]
    harness.wait_for(lambda: any(words in text for text in last()), f"the outbox to say «{words}» (it says {last()})", 60, 0.5)
    harness.equal(len(archived(provider, mailbox)), MESSAGES, f"{what}: packages wait, the archive keeps all, and the operator reads why")


def fortyfive_days(pair, authority, sftp, mailbox, delivered, configure):
    """Nothing before 45 days; then, with the system down or another in its place, nothing leaves the archive; then
    everything goes."""
    alfa = pair.alfa
    before = archived(alfa, mailbox)
    harness.equal(len(before), MESSAGES, "the archive has every message")
    harness.equal(ask(alfa, "run")["packages"], 0, "a run today finds nothing that is 45 days old")
    alfa.stop()
    authority.ahead = LATER[0]
    alfa.start(LATER[0])
    waiting = lambda: ask(alfa, "status", f"mailbox={mailbox}")["queued"]
    harness.wait_for(lambda: waiting() > 0, "the daily run that was missed to be made up for", 60)
    harness.equal(len(archived(alfa, mailbox)), MESSAGES, "47 days later packages wait for a system that is down, and the archive keeps all")
    alfa.kill()
    configure(sftp_key="other")
    alfa.start(LATER[0])
    sftp.start()
    still_waits(alfa, mailbox, "another host key", "a server with another host key than the one that is named")
    harness.equal(list(sftp.files.rglob("*")), [], "it was sent nothing")
    alfa.stop()
    wire = Wire(sftp, lambda: bool(sftp.packages()))
    configure(sftp_port=wire.port)
    alfa.start(LATER[0])
    harness.wait_for(lambda: wire.is_cut, "a package to lie there", 120)
    harness.equal(len(archived(alfa, mailbox)), MESSAGES, "the wire is cut when a package lies there: without its answer nothing leaves the archive")
    alfa.stop()
    configure()
    alfa.start(LATER[0])
    settled(alfa, mailbox)
    harness.check("it was there already, the same" in alfa.log.read_text(), "what was there already is found to be the same and not put again")
    packages = {name: content for name, content in sftp.packages().items() if not name.startswith("logs/")}
    harness.check(all(name.startswith(f"{mailbox}/") for name in packages) and len(packages) >= 2, f"after a power cut and with the system back: {len(packages)} packages over SFTP")
    same_messages(packages, delivered, authority, pair.folder)
    harness.check(not list(sftp.files.rglob(".*.part")), "nothing half-written is left there")
    harness.equal(ask(alfa, "run", f"mailbox={mailbox}")["packages"], 0, "another run finds nothing")
    deposits = [event for event in logged(alfa, "conservation-deposit") if event["recipients"] == [mailbox]]
    digests = {dict(event["details"])["sha256"] for event in deposits}
    harness.equal(digests, {hashlib.sha256(content).hexdigest() for content in packages.values()}, "the message log has each deposit with its digest (CON-01)")


def logs(pair, authority, sftp):
    """Sealed and stamped log files at the system, with their nine metadata (LOG-15)."""
    alfa = pair.alfa
    stamped = lambda: all(log["unstamped"] == 0 and log["files"] for log in json.loads(alfa.command("log", "status", "--json")))
    alfa.command("log", "seal", "--json")
    harness.wait_for(stamped, "the logs to be sealed and stamped", 120, 1)
    ask(alfa, "run")
    registro = alfa.folder / "data/registro"
    mine = {path.name: path.read_bytes() for path in registro.glob("*.jsonl")}
    deposited = lambda: sum(name.startswith("logs/") for name in sftp.packages())
    harness.wait_for(lambda: deposited() and not ask(alfa, "status")["queued"], "the packages of logs", 60, 0.5)
    found = {}
    for name, package in sftp.packages().items():
        if not name.startswith("logs/"):
            continue
        content, listed = examine(package, authority, pair.folder)
        for path, element in listed.items():
            log = element.find(f".//{METADATA}log")
            data = {child.tag.removeprefix(METADATA): child.text for child in log}
            harness.equal(len(data), 9, "a log file has nine metadata (LOG-15)")
            harness.equal((data["provider"], data["addressee"], data["hash"]), ("Alfa PEC S.p.A.", "Livia Log", hashlib.sha256(content[path]).hexdigest()), "with provider, addressee and hash")
            place = pair.folder / "log.jsonl"
            place.write_bytes(content[path])
            Path(f"{place}.tsr").write_bytes(content[f"{path}.tsr"])
            harness.check(authority.verifies(place), "and the stamp that it had before it was sent")
            found[data["file-id"]] = content[path]
    harness.equal({name: mine.get(name) for name in found}, found, "they are the provider's sealed files, byte for byte")
    harness.check({"message-log", "front-end"} <= {re.search("_(message-log|front-end|audit)_", name).group(1) for name in found}, "of both logs (CON-07)")
    harness.check(all((registro / name).exists() for name in found), "which stay here as long as the law wants")


def exhibition(pair, mailbox, delivered):
    """The manager and the delegates find and export; a stranger does not; all of it is in the log (CON-03)."""
    alfa = pair.alfa
    manager, delegate = f"as=capo@{alfa.domain}", f"as=uno@{alfa.domain}"
    found = ask(alfa, "search", f"mailbox={mailbox}", manager, "subject=Fattura 2")
    harness.equal((found["found"], found["results"][0]["deposited"]), (1, True), "the content manager finds a message by its subject")
    harness.equal(ask(alfa, "search", f"mailbox={mailbox}", delegate)["found"], MESSAGES, "a delegate finds all")
    everything = ask(alfa, "search", f"mailbox={mailbox}")["results"]
    for result in everything:
        out = pair.folder / "exported.eml"
        answer = ask(alfa, "export", f"mailbox={mailbox}", f"id={result['id']}", manager, "--out", out)
        harness.equal((answer["from-where"], out.read_bytes()), ("target", delivered[result["sha256"]]), "an export is read back from the system, byte for byte as it was delivered")
        out.unlink()
    package = everything[0]["package"]
    shown = ask(alfa, "show", f"mailbox={mailbox}", f"package={package}")
    harness.equal(shown["state"], "confirmed", "its package is shown as confirmed")
    out = pair.folder / "exported.tar"
    ask(alfa, "export", f"mailbox={mailbox}", f"package={package}", "--out", out)
    harness.equal(hashlib.sha256(out.read_bytes()).hexdigest(), shown["sha256"], "a whole package comes back")
    out.unlink()
    stranger = ask(alfa, "export", f"mailbox={mailbox}", f"id={everything[0]['id']}", f"as=eva@{alfa.domain}", "--out", out, ok=False)
    harness.check("denied" in stranger and not (out.exists() and out.read_bytes()), "a stranger gets nothing")
    out.unlink(missing_ok=True)
    seen = [dict(event["details"]) for event in logged(alfa, "conservation-access")]
    harness.check(any(one.get("denied") for one in seen) and any(one["as"] == "manager" and one["operation"] == "export" for one in seen), "every access is in the message log, the refused one too")


def another_system(pair, shipped, authority, word, protocol, service, mailbox, delivered, ahead, mend=None):
    """The same over another protocol, for another mailbox; `mend` looks at what is wrong and puts it right."""
    alfa = pair.alfa
    alfa.stop()
    set_policy(alfa, shipped, word, protocol)
    authority.ahead = ahead
    alfa.start(ahead)
    alfa.command("mailbox", "set", mailbox, "conservation", "on")
    answer = ask(alfa, "run", f"mailbox={mailbox}")
    harness.equal((answer["files"], answer["not-done"]), (MESSAGES, 0), f"a run of one mailbox packs all of it ({protocol})")
    if mend:
        mend()
    settled(alfa, mailbox)
    packages = {name: content for name, content in service.packages().items() if "logs/" not in name}
    most = getattr(service, "SIZE_MAX", None)
    harness.check(len(packages) >= (3 if most else 2), f"{len(packages)} packages over {protocol}")
    harness.check(not most or all(len(content) <= most for content in packages.values()), f"  none larger than the target takes ({most or 'any size'})")
    same_messages(packages, delivered, authority, pair.folder)
    results = ask(alfa, "search", f"mailbox={mailbox}")["results"]
    out = pair.folder / "exported.eml"
    answer = ask(alfa, "export", f"mailbox={mailbox}", f"id={results[-1]['id']}", "--out", out)
    harness.equal((answer["from-where"], out.read_bytes()), ("target", delivered[results[-1]["sha256"]]), "an export is read back from there")
    out.unlink()


def without_archive(pair, mailbox):
    """Conservation without the archive is refused clearly (CON-02)."""
    pair.alfa.command("mailbox", "set", mailbox, "archive", "off")
    answer = ask(pair.alfa, "run", f"mailbox={mailbox}")
    harness.check(answer["not-done"] == 1 and "archive" in answer["reasons"][0]["why"], "without the archive a run says why it does nothing")
    pair.alfa.command("mailbox", "set", mailbox, "archive", "on")


def journey():
    with harness.Pair(start=False) as pair:
        alfa = pair.alfa
        authority = Authority(pair.folder / "tsa", days=400).start()
        sftp, s3, https = Sftp(pair.folder / "sftp"), S3(pair.folder / "s3"), Https(pair.folder / "https")
        try:
            shipped = (alfa.folder / "policy.yaml").read_text()
            set_policy(alfa, shipped, "sftp-system", "sftp")
            stamps = f"evidence:\n  timestamps: {{ url: \"http://127.0.0.1:{authority.port}/tsa\", anchors: {authority.root} }}\n"
            plain = alfa.config.read_text() + stamps

            def configure(sftp_key="host", s3_secret="right", sftp_port=None):
                targets = "targets:\n" + sftp.target(sftp_key, sftp_port) + s3.target(s3_secret) + https.target()
                alfa.config.write_text(plain + targets)

            configure()
            mailboxes = [alfa.add_mailbox(f"{word}@{alfa.domain}") for word in ("prima", "seconda", "terza")]
            for mailbox in mailboxes:
                alfa.command("mailbox", "set", mailbox, "archive", "on")
                alfa.command("mailbox", "set", mailbox, "conservation-manager", f"capo@{alfa.domain}")
                alfa.command("mailbox", "set", mailbox, "conservation-delegates", f"uno@{alfa.domain},due@{alfa.domain}")
            alfa.command("mailbox", "set", mailboxes[0], "conservation", "on")
            alfa.start()
            pair.beta.start()
            delivered = [deliver(pair, mailbox) for mailbox in mailboxes]
            fortyfive_days(pair, authority, sftp, mailboxes[0], delivered[0], configure)
            logs(pair, authority, sftp)
            exhibition(pair, mailboxes[0], delivered[0])
            without_archive(pair, mailboxes[0])
            s3.start()
            configure(s3_secret="wrong")

            def right_secret():
                still_waits(alfa, mailboxes[1], "403", "a bucket that does not know our secret")
                harness.equal(s3.packages(), {}, "it took nothing")
                alfa.stop()
                configure()
                alfa.start(LATER[1])

            another_system(pair, shipped, authority, "s3-system", "s3", s3, mailboxes[1], delivered[1], LATER[1], right_secret)
            https.start()
            another_system(pair, shipped, authority, "https-system", "http", https, mailboxes[2], delivered[2], LATER[2])
        finally:
            for service in (authority, sftp, s3, https):
                service.stop()


harness.main(journey)
