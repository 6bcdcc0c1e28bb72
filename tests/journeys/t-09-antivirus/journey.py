"""Mail is scanned by real scanners: what is infected is kept as it came, and nothing passes that no scanner has seen.

A server of an ordinary domain under `policies/plain-antivirus.yaml`, with ClamAV's daemon, then with c-icap.
"""

import base64
import json
import shutil
import smtplib
import ssl

import harness
import scanners

DOMAIN = "gamma.example"
SIZE_MAX = 3_000_000


class Gamma(harness.Provider):
    """Its folder is made here, with Alfa's TLS certificate, which is good for this machine."""

    def __init__(self, pair, clamd, icap):
        folder = pair.folder / "gamma"
        shutil.copytree(harness.TARGET / "plugins", folder / "plugins")
        for name in ("tls.pem", "tls.key"):
            shutil.copy(pair.folder / "alfa" / name, folder / name)
        harness.Server.__init__(self, folder, pair.folder / "ca.pem")
        # The pair does not run: its ports are free.
        self.word, self.ports, self.passwords = "gamma", pair.alfa.ports, {}
        self.mailbox, self.sender = f"bruno@{DOMAIN}", f"ada@{DOMAIN}"
        self.config.write_text(
            f"hostname: mail.{DOMAIN}\ndata-dir: ./data\nplugins-dir: ./plugins\npolicy: ./policy.yaml\nlisteners:\n"
            f'  - {{ protocol: submission, address: "127.0.0.1:{self.ports["submissions"]}", tls: implicit }}\n'
            f'  - {{ protocol: relay, address: "127.0.0.1:{self.ports["relay"]}", tls: starttls }}\n'
            f'  - {{ protocol: imap, address: "127.0.0.1:{self.ports["imaps"]}", tls: implicit }}\n'
            "tls: { certificate: tls.pem, key: tls.key }\n"
            "delivery: { retry: [1] }\n"
            "scanners:\n"
            f'  clamav: {{ protocol: clamd, address: "127.0.0.1:{clamd.port}", timeout: 20, size-max: {SIZE_MAX} }}\n'
            f'  icap: {{ protocol: icap, address: "127.0.0.1:{icap.port}", service: avscan, timeout: 20 }}\n'
        )
        self.policy = (harness.ROOT / "policies/plain-antivirus.yaml").read_text()
        self.obey(self.policy)
        self.command("domain", "add", DOMAIN, "--class", "ordinary")
        for user in ("ada", "bruno"):
            self.add_mailbox(f"{user}@{DOMAIN}")

    def obey(self, policy):
        (self.folder / "policy.yaml").write_text(policy)

    def answer(self, content):
        """(reply code, text) to the end of DATA, from a user."""
        with self.smtp(self.sender) as session:
            return data(session, self.sender, self.mailbox, content)

    def foreign(self, content):
        """The same from another server."""
        with smtplib.SMTP("127.0.0.1", self.ports["relay"], timeout=60) as session:
            session.starttls(context=ssl._create_unverified_context())
            return data(session, "mario@ordinaria.example", self.mailbox, content)

    def kept(self, *more):
        return json.loads(self.command("quarantine", "list", "--json", *more))

    def events(self, content):
        found = json.loads(self.command("log", "search", "--id", harness.id_of(content), "--json"))
        return {record["kind"]: record for record in found}


def data(session, sender, recipient, content):
    session.ehlo_or_helo_if_needed()
    session.mail(sender)
    session.rcpt(recipient)
    code, text = session.data(content)
    return code, text.decode()


def letter(gamma, text="Buongiorno.\r\n", **more):
    return harness.message(gamma.sender, gamma.mailbox, text=text, **more)


def attachment(gamma, *parts):
    """A multipart of these parts, each with its own header fields."""
    body = "".join(f"--b1\r\n{part}\r\n" for part in parts) + "--b1--\r\n"
    lines = [f"From: {gamma.sender}", f"To: {gamma.mailbox}", "Subject: Allegato", f"Message-ID: <{harness.os.urandom(8).hex()}@client.example>",
             "MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b1"]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def encoded(text):
    return base64.encodebytes(text.encode()).decode().replace("\n", "\r\n")


def delivered(gamma, content):
    got = gamma.inbox().get(message_id=harness.id_of(content))
    harness.check(got.endswith(content), "  delivered as it was, byte for byte")


def clean_mail_flows(gamma):
    content = letter(gamma)
    harness.equal(gamma.answer(content)[0], 250, "a clean message is taken from a user")
    delivered(gamma, content)
    foreign = letter(gamma)
    harness.equal(gamma.foreign(foreign)[0], 250, "and from another server")
    delivered(gamma, foreign)
    harness.equal(gamma.kept(), [], "nothing is in quarantine")


def kept_as_it_came(gamma, content, what):
    kept = [record for record in gamma.kept() if record["envelope"]["origin"]["message_id"] == harness.id_of(content).strip("<>")]
    harness.equal(len(kept), 1, f"{what}: it is in quarantine")
    record = kept[0]
    harness.check(scanners.NAME in record["reason"] and record["plugin"] == "antivirus", f"  because of {record['reason']}")
    return record


def infected_mail_is_kept(gamma):
    content = letter(gamma, text=f"Saluti {scanners.VIRUS}\r\n.\r\n")
    harness.equal(gamma.answer(content)[0], 250, "an infected message from a user is taken")
    record = kept_as_it_came(gamma, content, "from a user")
    harness.equal(record["envelope"]["recipients"], [gamma.mailbox], "  with its envelope")
    file = gamma.folder / "export.eml"
    said = json.loads(gamma.command("quarantine", "export", record["id"], file, "--json"))
    harness.equal(said["sha256"], harness.sha256(content), "  exported with its SHA-256")
    harness.equal(harness.sha256(file.read_bytes()), harness.sha256(content), "  and its bytes are those that were sent")
    again = harness.subprocess.run([harness.SIGILLO, "--config", gamma.config, "quarantine", "export", record["id"], file], capture_output=True)
    harness.equal((again.returncode, file.read_bytes() == content), (1, True), "  a file that is there is not written over")
    harness.check(gamma.mailbox in gamma.command("quarantine", "show", record["id"]), "  `quarantine show` names the recipient")
    events = gamma.events(content)
    harness.check({"virus", "quarantined", "quarantine-exported"} <= set(events), f"  the message log has {sorted(events)}")
    details = dict(events["virus"]["details"])
    harness.check(scanners.NAME in details["name"] and details["scanner"] == "clamav", "  with the virus and the scanner")
    harness.check(details["signatures"].startswith("ClamAV "), f"  and its version, {details['signatures']}")
    harness.equal(details["sha256"], harness.sha256(content), "  and the SHA-256 of the message")
    harness.equal(dict(events["quarantine-exported"]["details"])["uid"], str(harness.os.getuid()), "  and who exported it")
    foreign = letter(gamma, text=scanners.VIRUS + "\r\n")
    harness.equal(gamma.foreign(foreign)[0], 250, "an infected message from another server is taken")
    kept_as_it_came(gamma, foreign, "from another server")


def hidden_viruses_are_found(gamma):
    """Attack M5: what one reader sees and another does not."""
    plain = "Content-Type: text/plain\r\n\r\nCiao\r\n"
    data = "Content-Type: application/octet-stream\r\nContent-Disposition: attachment; filename=a.bin\r\n"
    virus = encoded("x" * 3 + scanners.VIRUS)
    cases = {
        "in base64": data + f"Content-Transfer-Encoding: base64\r\n\r\n{virus}",
        "under a second transfer encoding": data + f"Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\n{virus}",
        "behind the padding": data + f"Content-Transfer-Encoding: base64\r\n\r\n{encoded('x')}{virus}",
        "in quoted-printable": data + "Content-Transfer-Encoding: quoted-printable\r\n\r\nSIGILLO=2DTEST=\r\n-VIRUS-00=301\r\n",
        "between junk": data + "Content-Transfer-Encoding: base64\r\n\r\n" + "".join(letter + "!" * letter.isalnum() for letter in virus),
    }
    for what, part in cases.items():
        content = attachment(gamma, plain, part)
        harness.equal(gamma.answer(content)[0], 250, f"a virus {what}")
        kept_as_it_came(gamma, content, what)
    clean = attachment(gamma, plain, data + f"Content-Transfer-Encoding: base64\r\n\r\n{encoded('innocuo')}")
    harness.equal(gamma.answer(clean)[0], 250, "an attachment without one")
    delivered(gamma, clean)


def nothing_passes_unscanned(gamma, clamd):
    """Attack E6."""
    clamd.stop()
    content, foreign = letter(gamma), letter(gamma)
    harness.equal(gamma.answer(content)[0], 451, "no scanner: a user is told to try again")
    harness.equal(gamma.foreign(foreign)[0], 451, "and so is another server")
    harness.check("scanner 'clamav' cannot be reached" in gamma.log.read_text(), "the operator's log says why")
    for answer, words in [(b"\xff\xfe\0", "gave an answer that is none"), (b"stream: OK", "without a whole answer"), (b"", "without a whole answer"),
                          (b"stream: OK\0stream: OK\0", "gave an answer that is none"), (b"stream: Out of memory ERROR\0", "reports an error")]:
        liar = scanners.Liar(clamd.port, answer)
        try:
            harness.equal(gamma.answer(content)[0], 451, f"a scanner that answers {answer!r}")
        finally:
            liar.stop()
        harness.check(words in gamma.log.read_text(), f"  the log says «{words}»")
    harness.equal(json.loads(gamma.command("queue", "list", "--json")), [], "nothing of it is in the queue")
    harness.equal(gamma.inbox().find(message_id=harness.id_of(content)), [], "nor in the mailbox")
    clamd.start()
    harness.equal(gamma.answer(content)[0], 250, "after the scanner is back the same message is taken")
    delivered(gamma, content)


def what_cannot_be_scanned_is_refused_with_a_reason(gamma):
    code, text = gamma.answer(letter(gamma, text=("z" * 76 + "\r\n") * (SIZE_MAX // 78 + 1)))
    harness.equal((code, "cannot be scanned" in text and str(SIZE_MAX) in text), (554, True), f"too large for the scanner: {code} {text}")


def other_scanners(gamma, clamd, icap):
    gamma.stop()
    gamma.obey(gamma.policy.replace("[clamav]", "[icap]").replace("on-infected: quarantine", "on-infected: reject"))
    gamma.start()
    content = letter(gamma)
    harness.equal(gamma.answer(content)[0], 250, "c-icap: a clean message is taken")
    delivered(gamma, content)
    code, text = gamma.answer(letter(gamma, text=scanners.VIRUS + "\r\n"))
    harness.equal((code, scanners.NAME in text), (554, True), f"c-icap: an infected one is refused: {text}")
    big = letter(gamma, text=("z" * 76 + "\r\n") * 100_000)
    harness.equal(gamma.answer(big)[0], 250, "c-icap: a message of 8 MB is taken")
    clamd.stop()
    harness.equal(gamma.answer(letter(gamma))[0], 451, "c-icap without its engine: the user is told to try again")
    icap.stop()
    harness.equal(gamma.answer(letter(gamma))[0], 451, "no c-icap: the same")


def mistakes_are_named(gamma):
    gamma.obey(gamma.policy.replace("scan: [clamav]", "scan: [clamaw]"))
    done = harness.subprocess.run([harness.SIGILLO, "--config", gamma.config, "check"], capture_output=True, text=True)
    said = done.stdout + done.stderr
    harness.equal(done.returncode, 78, "a policy that names no scanner of the configuration is refused")
    harness.check("scanner 'clamaw' is not in the server's configuration" in said and "policy.yaml:13:" in said, "  with its line")


def journey():
    with harness.Pair(start=False) as pair:
        clamd = scanners.Clamd(pair.folder / "clamd")
        icap = scanners.Icap(pair.folder / "icap", clamd)
        gamma = Gamma(pair, clamd, icap)
        try:
            clamd.start()
            icap.start()
            gamma.start()
            clean_mail_flows(gamma)
            infected_mail_is_kept(gamma)
            hidden_viruses_are_found(gamma)
            nothing_passes_unscanned(gamma, clamd)
            what_cannot_be_scanned_is_refused_with_a_reason(gamma)
            other_scanners(gamma, clamd, icap)
            harness.equal(gamma.stop(), 0, "the server runs until it is stopped")
            mistakes_are_named(gamma)
        except BaseException:
            print(gamma.log.read_text(errors="replace")[-4000:] if gamma.log.exists() else "")
            raise
        finally:
            gamma.kill()
            icap.stop()
            clamd.stop()


harness.main(journey)
