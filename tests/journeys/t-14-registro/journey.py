"""The message log as the law wants it: sealed, stamped by an authority, tampered with and found out, and shown to whoever
may ask for it."""

import base64
import contextlib
import email
import email.policy
import json
import re
import smtplib
import subprocess

import harness
from authority import Authority

NAME = re.compile(r"mail\.alfa\.example_\d{8}T\d{6}\+0[12]00_\d{8}T\d{6}\+0[12]00_(message-log|front-end|audit)_1(-\d+)?\.jsonl")


def configure(provider, authority):
    """An authority with a password, and a second place for copies."""
    (provider.folder / "tsa.password").write_text("segreta\n")
    (provider.folder / "tsa.password").chmod(0o600)
    authority.authorization = "Basic " + base64.b64encode(b"alfa:segreta").decode()
    more = f"""evidence:
  copies: [../copies]
  timestamps:
    url: http://127.0.0.1:{authority.port}/tsa
    anchors: {authority.root}
    policy: 1.3.6.1.4.1.99999.1
    username: alfa
    password-file: tsa.password
"""
    provider.config.write_text(provider.config.read_text() + more)


def log(server, *words, ok=True):
    return server.command("log", *words, ok=ok)


def findings(server, *words):
    """What a verification finds, by `sigillo log verify --json`; its exit status must say the same."""
    done = subprocess.run([harness.SIGILLO, "--config", server.config, "log", "verify", "--json", *map(str, words)], capture_output=True)
    if not done.stdout:
        raise harness.Failure(f"log verify said nothing: {done.stderr.decode()}")
    report = json.loads(done.stdout)
    harness.equal(done.returncode, 1 if report["findings"] else 0, "the exit status says whether something was found")
    return report["findings"]


def names(found, sequence=None, file=None, words=""):
    fits = lambda f: (sequence is None or f["sequence"] == sequence) and (file is None or f["file"] == file) and words in f["problem"]
    return any(fits(one) for one in found)


def exchange(pair, subject):
    """One certified message with its receipts; returns the client's id."""
    sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox, subject=subject)
    pair.alfa.submit(sent, [pair.beta.mailbox])
    inbox = pair.alfa.inbox()
    inbox.wait(x_ricevuta="avvenuta-consegna", x_riferimento_message_id=harness.id_of(sent))
    inbox.close()
    return harness.id_of(sent).strip("<>")


def search(server, *words):
    return json.loads(log(server, "search", "--json", *words))


def at_the_doors(pair):
    """Logins good and bad, TLS, mail from another server, an attempt to relay: each with its eight data."""
    alfa = pair.alfa
    with contextlib.suppress(smtplib.SMTPAuthenticationError):
        with smtplib.SMTP_SSL("127.0.0.1", alfa.ports["submissions"], context=alfa.context(), timeout=60) as session:
            session.login(alfa.mailbox, "sbagliata")
    with smtplib.SMTP("127.0.0.1", alfa.ports["relay"], timeout=60) as session:
        session.ehlo()
        session.mail("eve@evil.example")
        code, _ = session.rcpt("victim@elsewhere.example")
        harness.equal(code // 100, 5, "an attempt to relay is refused")

    def noted():
        records = search(alfa, "--log", "front-end")
        kinds = {(record["kind"], record.get("result", "")) for record in records}
        wanted = {("login", "accepted"), ("relay-refused", "not a domain of this server"), ("reception", "accepted")}
        failed = any(kind == "login" and result != "accepted" for kind, result in kinds)
        tls = any(kind == "tls" and result.startswith("TLSv1") for kind, result in kinds)
        return records if wanted <= kinds and failed and tls else None

    records = harness.wait_for(noted, "the events at the doors in the log")
    relay = next(record for record in records if record["kind"] == "relay-refused")
    data = [relay["kind"], relay["sender"], relay["recipients"], relay["server"], relay["peer"], relay["source"], relay["result"]]
    expected = ["relay-refused", "eve@evil.example", ["victim@elsewhere.example"], "mail.alfa.example", "127.0.0.1", "smtp-relay", "not a domain of this server"]
    harness.equal(data, expected, "an attempt to relay is in the log with its data (LOG-05)")
    logins = {record["source"] for record in records if record["kind"] == "login"}
    harness.check({"smtp-submission", "imap"} <= logins, "logins by SMTP and by IMAP are in the log (LOG-04)")
    received = next(record for record in records if record["kind"] == "reception")
    harness.check(received["message_id"] and received["recipients"], "mail from another server is in the log with its id")


def sealed_and_stamped(pair, authority):
    """Files with the names and the stamps that the law wants; openssl says the same of the stamps."""
    done = json.loads(log(pair.alfa, "seal", "--json"))
    harness.equal({file["log"] for file in done}, {"message-log", "front-end", "audit"}, "all logs are sealed")
    harness.check(all(file["stamped"] for file in done), "all files are stamped")
    registro = pair.alfa.folder / "data/registro"
    for file in done:
        harness.check(NAME.fullmatch(file["name"]), f"{file['name']}: server, period, component, instance, form (LOG-08)")
        path = registro / file["name"]
        harness.check(authority.verifies(path), "`openssl ts -verify` accepts its stamp")
        harness.equal(harness.sha256(path.read_bytes()), file["sha256"], "its SHA-256 is as said")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        harness.equal(len(lines) - 2, file["last"] - file["first"] + 1, "it holds every record, one JSON a line")
    copies = pair.folder / "copies"
    copied = lambda: all((copies / f["name"]).exists() and (copies / (f["name"] + ".tsr")).exists() for f in done)
    harness.wait_for(copied, "the copies in the second place (LOG-11)")
    same = all((copies / f["name"]).read_bytes() == (registro / f["name"]).read_bytes() for f in done)
    harness.check(same, "the copies are the same bytes")
    status = json.loads(log(pair.alfa, "status", "--json"))
    harness.equal([log["unstamped"] for log in status], [0, 0, 0], "nothing is without a stamp")
    return next(file for file in done if file["log"] == "message-log")


def authority_away(pair, authority):
    """No authority: the file waits, the server tries again, and succeeds by itself."""
    authority.stop()
    exchange(pair, "senza marca")
    done = json.loads(log(pair.alfa, "seal", "--json"))
    harness.check(done and not any(file["stamped"] for file in done), "without an authority nothing is stamped")
    status = json.loads(log(pair.alfa, "status", "--json"))
    harness.check(any(one["problem"] for one in status), "the status says why")
    authority.start()
    stamped = lambda: all(one["unstamped"] == 0 for one in json.loads(log(pair.alfa, "status", "--json")))
    harness.wait_for(stamped, "the server to have them stamped after all", 120, 1)
    registro = pair.alfa.folder / "data/registro"
    harness.check(all(authority.verifies(registro / file["name"]) for file in done), "and openssl accepts these stamps")
    harness.equal(findings(pair.alfa), [], "the log is whole")


def wrong_authority(pair, authority, stranger):
    """An authority that is not the one that is trusted: its stamps are refused."""
    authority.stop()
    stranger.port, stranger.authorization = authority.port, authority.authorization
    stranger.start()
    exchange(pair, "marca falsa")
    done = json.loads(log(pair.alfa, "seal", "--json"))
    harness.check(stranger.questions > 0 and not any(file["stamped"] for file in done), "a stranger's stamp is refused")
    problems = [one["problem"] or "" for one in json.loads(log(pair.alfa, "status", "--json"))]
    harness.check(any("not trusted" in problem for problem in problems), "the status says that it is not trusted")
    stranger.stop()
    authority.start()
    stamped = lambda: all(one["unstamped"] == 0 for one in json.loads(log(pair.alfa, "status", "--json")))
    harness.wait_for(stamped, "the right authority's stamps", 180, 1)


def lying_authority(pair, authority):
    """Garbage, and an answer that was another question's: no stamp, and the server asks again."""
    authority.instead = [b"<html>what is this</html>", authority.last]
    exchange(pair, "marca sbagliata")
    log(pair.alfa, "seal", "--json")
    problems = [one["problem"] or "" for one in json.loads(log(pair.alfa, "status", "--json"))]
    harness.check(any("not the answer of a timestamp authority" in problem for problem in problems), "garbage is no stamp, and the status says so")
    stamped = lambda: all(one["unstamped"] == 0 for one in json.loads(log(pair.alfa, "status", "--json")))
    harness.wait_for(lambda: not authority.instead and stamped(), "stamps after two answers that were none", 180, 1)
    harness.check("belongs to other content" in pair.alfa.log.read_text(), "nor is an answer that another question had before")
    harness.equal(findings(pair.alfa), [], "the log is whole")


def tampering_with_files(pair, sealed, authority, stranger):
    """Each way of tampering with a file is found and named; so is a stamp that is not the right one."""
    registro = pair.alfa.folder / "data/registro"
    path, name = registro / sealed["name"], sealed["name"]
    stamp = registro / f"{name}.tsr"
    content, genuine = path.read_bytes(), stamp.read_bytes()
    lines = content.splitlines(keepends=True)
    other = next(file for file in registro.glob("*_message-log_*.jsonl.tsr") if file != stamp)
    third = sealed["first"] + 2
    cases = [
        ("an altered record", lines[3].replace(b'"kind":"', b'"kind":"x', 1), third, "was changed"),
        ("a dropped record", b"", third + 1, "missing before it"),
    ]
    for what, line, sequence, words in cases:
        path.write_bytes(b"".join(lines[:3] + [line] + lines[4:]))
        harness.check(names(findings(pair.alfa), sequence, name, words), f"{what} is found and named")
    path.write_bytes(b"".join(lines[:2] + [lines[3], lines[2]] + lines[4:]))
    harness.check(names(findings(pair.alfa), third, name), "exchanged records are found and named")
    path.write_bytes(b"".join(lines[:-2]))
    harness.check(names(findings(pair.alfa), None, name, "cut off"), "a file that was cut off is found and named")
    path.unlink()
    harness.check(names(findings(pair.alfa), None, name, "missing"), "a missing file is found and named")
    path.write_bytes(content)
    stamp.write_bytes(other.read_bytes())
    harness.check(names(findings(pair.alfa), None, stamp.name, "not the stamp that was kept"), "another file's stamp is found")
    stamp.write_bytes(genuine)
    harness.equal(findings(pair.alfa), [], "with everything in its place again the log is whole")

    # An export proves itself, by its files only.
    export = pair.folder / "export"
    log(pair.alfa, "export", "--dir", export)
    roots = ["--files", export, "--anchors", authority.root]
    harness.equal(findings(pair.alfa, *roots), [], "an export is whole by itself")
    harness.check(names(findings(pair.alfa, "--files", export, "--anchors", stranger.root), None, f"{name}.tsr", "not trusted"), "an authority that is not trusted is named")
    (export / f"{name}.tsr").write_bytes(other.read_bytes())
    found = findings(pair.alfa, *roots)
    harness.check(names(found, None, f"{name}.tsr", "belongs to other content"), "a stamp of another file is named")
    (export / f"{name}.tsr").write_bytes(genuine)
    (export / name).write_bytes(content.replace(b"message-log", b"message-loG", 1))
    harness.check(names(findings(pair.alfa, *roots), None, name), "one altered letter of the first line is found")
    (export / name).unlink()
    harness.check(names(findings(pair.alfa, *roots), None, name, "missing"), "a file missing in an export is named")


def tampering_with_the_database(pair, sealed):
    """By sqlite3, with the server stopped: found and named; the files betray a chain that was made anew."""
    database = pair.alfa.folder / "data/sigillo.db"
    pair.alfa.stop()
    harness.run("sqlite3", database, "PRAGMA wal_checkpoint(TRUNCATE)")  # all of it in one file
    genuine = database.read_bytes()
    record = sealed["first"] + 1
    where = f"WHERE stream = 1 AND sequence = {record}"
    cases = [
        ("an altered record", f"UPDATE evidence SET record = replace(record, '\"kind\":\"', '\"kind\":\"x') {where}", record),
        ("a dropped record", f"DELETE FROM evidence {where}", record + 1),
        ("a record that is not found by its sender", f"DELETE FROM evidence_terms {where} AND field = 2", record),
    ]
    for what, statement, sequence in cases:
        harness.run("sqlite3", database, statement)
        harness.check(names(findings(pair.alfa), sequence), f"{what} is found and named")
        for side in ("-wal", "-shm"):
            (database.parent / (database.name + side)).unlink(missing_ok=True)
        database.write_bytes(genuine)
    harness.equal(findings(pair.alfa), [], "the database as it was is whole")
    pair.alfa.start()


def chain_of(line):
    """The hash of a line of records.jsonl, computed as README.txt says."""
    record = line[line.index('"record":') + len('"record":') : -1]
    return harness.sha256(bytes.fromhex(json.loads(line)["previous"]) + record.encode())


def case(pair, client_id, authority):
    """What the log says of one message, sent by certified mail to the requester, who verifies it."""
    ada, operator = pair.alfa.mailbox, pair.alfa.add_mailbox(f"registro@{pair.alfa.domain}")
    out = pair.folder / "caso.eml"
    words = ["--message-id", client_id, "--requester", pair.beta.mailbox, "--reason", "modulo 12 del 3 febbraio"]
    said = json.loads(log(pair.alfa, "case", *words, "--out", out, "--send-from", operator, "--json"))
    extract = out.read_bytes()
    again = log(pair.alfa, "case", *words, "--out", out, ok=False)
    harness.check(not again and out.read_bytes() == extract, "an extract that was given out is not overwritten")
    harness.check(said["records"] > 0 and said["sent"] and said["unstamped"] == 0, "the archive is made of stamped files")
    found = log(pair.alfa, "case", "--message-id", "nobody@nowhere", "--requester", ada, "--reason", "x", "--out", pair.folder / "no.eml", ok=False)
    harness.check(not found and not (pair.folder / "no.eml").exists(), "of an unknown message there is none")

    received = pair.beta.inbox().get(x_trasporto="posta-certificata", subject="POSTA CERTIFICATA: Estratto del registro dei messaggi")
    harness.verify_signature(received, pair.folder / "ca.pem", pair.folder)
    harness.check(True, "it arrives in a signed transport envelope")
    sender = pair.alfa.inbox(operator)
    for receipt in ("accettazione", "avvenuta-consegna"):
        harness.check(sender.wait(x_ricevuta=receipt), f"{operator} has the receipt {receipt}")
    sender.close()
    original = email.message_from_bytes(harness.part_bytes(received, "postacert.eml"), policy=email.policy.default)
    archive = {part.get_filename(): part.get_payload(decode=True) for part in original.iter_attachments()}
    harness.equal(harness.sha256(archive["records.jsonl"]), said["records-sha256"], "its records are those that were announced")
    kept = email.message_from_bytes(out.read_bytes(), policy=email.policy.default)
    same = {part.get_filename(): part.get_payload(decode=True) for part in kept.iter_attachments()}
    harness.equal(same, archive, "what was sent is what was written")
    harness.check(b"openssl ts -verify" in archive["README.txt"], "it says how to verify it")
    lines = archive["records.jsonl"].decode().splitlines()
    harness.equal(len(lines), said["records"], "it has as many records as said")
    harness.check(all(json.loads(line)["hash"] == chain_of(line) for line in lines), "each record has the hash that README.txt computes")
    records = [json.loads(line)["record"] for line in lines]
    kinds = {record["kind"] for record in records}
    harness.check({"acceptance", "transport-envelope"} <= kinds, f"it tells what became of the message: {sorted(kinds)}")
    harness.check(all("uno" in record["subject"] for record in records if record["subject"]), "no record of another message is in it")
    text = archive["records.txt"].decode()
    harness.check(all(str(record["sequence"]) in text for record in records), "they are there as text too")
    harness.check("modulo 12 del 3 febbraio" in text, "with the request")
    registro = pair.alfa.folder / "data/registro"
    for file in json.loads(archive["files.json"]):
        stamp = pair.folder / "case.tsr"
        stamp.write_bytes(archive[file["stamp"]])
        harness.run("openssl", "ts", "-verify", "-digest", file["sha256"], "-in", stamp, "-CAfile", authority.root)
        whole = (registro / file["name"]).read_bytes()
        harness.equal(harness.sha256(whole), file["sha256"], "the stamp of its file verifies by openssl, and the provider's file has that digest")
        mine = [json.loads(line) for line in lines if json.loads(line)["file"] == file["name"]]
        harness.check(all(f'{{"hash":"{one["hash"]}","record":'.encode() in whole for one in mine), "and holds the records with these hashes")

    request = search(pair.alfa, "--kind", "log-request")
    harness.equal([(r["recipients"], r["result"]) for r in request], [([pair.beta.mailbox], f"{said['records']} records")], "the request is itself in the log (LOG-23)")
    details = dict(request[0]["details"])
    harness.equal((details["reason"], details["records-sha256"]), ("modulo 12 del 3 febbraio", said["records-sha256"]), "with its reason and the digest of the archive")
    harness.check(details["uid"].isdigit() and request[0]["sender"], "and who answered it")
    harness.check(any(r["kind"] == "log-access" for r in search(pair.alfa, "--log", "front-end", "--kind", "log-access")), "searches are in the log")


def searching(pair, client_id):
    """By each of the data, and combined."""
    ada, bruno = pair.alfa.mailbox, pair.beta.mailbox
    by_client = search(pair.alfa, "--id", client_id)
    harness.check(by_client, "a message is found by the id that the client gave")
    identifier = next(record["message_id"] for record in by_client if record["kind"] == "acceptance") if any(r["kind"] == "acceptance" for r in by_client) else by_client[0]["message_id"]
    by_id = search(pair.alfa, "--id", identifier)
    harness.check(by_id, "by the id of the original")
    generated = next(related for record in by_id for related in record["related"])
    harness.check(search(pair.alfa, "--id", generated), "by the id of a message made for it")
    both = search(pair.alfa, "--sender", ada.upper(), "--recipient", bruno, "--kind", "acceptance", "--since", "2020-01-01")
    harness.check(both and all(record["kind"] == "acceptance" for record in both), "by sender, recipient, kind and period together")
    harness.equal(search(pair.alfa, "--sender", ada, "--until", "2020-01-01"), [], "nothing before the first day")
    first = search(pair.alfa, "--sender", ada, "--limit", "1")
    second = search(pair.alfa, "--sender", ada, "--limit", "1", "--after", str(first[0]["sequence"]))
    harness.check(second and second[0]["sequence"] > first[0]["sequence"], "page by page")


def journey():
    with harness.Pair(start=False) as pair:
        authority, stranger = Authority(pair.folder / "tsa").start(), Authority(pair.folder / "stranger")
        try:
            configure(pair.alfa, authority)
            pair.alfa.start()
            pair.beta.start()
            client_id = exchange(pair, "uno")
            exchange(pair, "due")
            at_the_doors(pair)
            searching(pair, client_id)
            sealed = sealed_and_stamped(pair, authority)
            authority_away(pair, authority)
            wrong_authority(pair, authority, stranger)
            lying_authority(pair, authority)
            tampering_with_files(pair, sealed, authority, stranger)
            case(pair, client_id, authority)
            tampering_with_the_database(pair, sealed)
            harness.equal(findings(pair.alfa), [], "at the end everything is whole")
        finally:
            authority.stop()
            stranger.stop()


harness.main(journey)
