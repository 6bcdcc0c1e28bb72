"""The index of providers as a living thing: fetched, verified, kept, followed by a running server; and whatever is wrong
with a new edition leaves the one in use where it is (attack C11)."""

import base64
import hashlib
import json
import re
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import harness  # noqa: E402
from publisher import Publisher, Slapd  # noqa: E402

GAMMA = "pec.gamma.example"


def entry(name, receipts, domains, der, more=""):
    """One provider of the index (PEC §4.5)."""
    lines = [f"dn: providerName={name},o=postacert", "objectClass: top", "objectClass: provider", f"providerName: {name}",
             f"providerCertificateHash: {hashlib.sha1(der).hexdigest().upper()}",
             f"providerCertificate;binary:: {base64.b64encode(der).decode()}", f"mailReceipt: {receipts}"]
    return "\n".join(lines + [f"managedDomains: {domain}" for domain in domains]) + "\n" + more


def index(*entries):
    base = "dn: o=postacert\nobjectClass: top\nobjectClass: organization\no: postacert\n"
    return "\n".join([base, *entries]).encode()


def der(publisher, pem):
    return publisher.openssl("x509", "-in", pem, "-outform", "DER")


class World:
    def __init__(self, pair, publisher):
        self.pair, self.publisher = pair, publisher
        house = lambda server: entry(f"{server.word.title()} PEC S.p.A.", server.receipts,
                                     [server.domain, f"{server.word}.example"], der(publisher, server.folder / "provider.pem"))
        self.alfa, self.beta = house(pair.alfa), house(pair.beta)
        self.gamma = entry("Gamma", "ricevute@gamma.example", [GAMMA], der(publisher, "gamma.pem"))
        # So many that a tenth of them is more than nobody.
        self.crowd = [entry(f"Altro {n}", f"ricevute@altro{n}.example", [f"pec.altro{n}.example"], der(publisher, "stranger.pem"))
                      for n in range(20)]

    def text(self, *more, crowd=20):
        return index(self.alfa, self.beta, *self.crowd[:crowd], *more)

    def publish(self, ldif, mode="whole", signer="signer"):
        self.publisher.body, self.publisher.mode = self.publisher.sign(ldif, signer), mode


def configure(server, block):
    """Puts these lines in the place of `directory:` under `trust`."""
    text = server.config.read_text()
    assert "  directory: ../providers.ldif\n" in text
    server.config.write_text(text.replace("  directory: ../providers.ldif\n", block))


def refused(server, *words):
    """A command that must fail; returns what it said."""
    command = [str(word) for word in (harness.SIGILLO, "--config", server.config, *words)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode == 0:
        raise harness.Failure(f"{' '.join(words)} did what it must not: {done.stdout}")
    return done.returncode, done.stderr


def typed(pair, recipient):
    """As what the acceptance receipt of a message to this recipient names it (PEC §4.4)."""
    sent = harness.message(pair.alfa.mailbox, recipient)
    pair.alfa.submit(sent, [recipient])
    inbox = pair.alfa.inbox()
    receipt = inbox.get(x_ricevuta="accettazione", x_riferimento_message_id=harness.id_of(sent))
    inbox.close()
    xml = harness.part_bytes(receipt, "daticert.xml").decode()
    return re.search(rf'<destinatari tipo="([a-z]+)">{re.escape(recipient)}</destinatari>', xml).group(1)


def metrics(server):
    page = urllib.request.urlopen(f"http://127.0.0.1:{server.ports['metrics']}/metrics", timeout=30).read().decode()
    return {name: float(value) for name, value in re.findall(r"^(sigillo_index_\w+) (\S+)$", page, re.M)}


def events(server):
    records = json.loads(server.command("log", "search", "--limit", "100000", "--json"))
    return [dict(record["details"]) for record in records if record["kind"] == "index-update"]


def logged(server, words, since=0):
    """Position in the log after the first of these words, as soon as they are there."""
    def look():
        text = server.log.read_text(errors="replace")
        at = text.find(words, since)
        return at + len(words) if at >= 0 else None
    return harness.wait_for(look, f"'{words}' in the log of {server.word}")


def first_start(world):
    alfa, publisher = world.pair.alfa, world.publisher
    status, said = refused(alfa, "serve")
    harness.check(status == 78 and "no copy of the index" in said and "sigillo index import FILE" in said,
                  "without a copy and without a source it does not start, and says what to do")
    publisher.start()
    try:
        context = ssl.create_default_context(cafile=publisher.folder / "root.pem")
        urllib.request.urlopen(publisher.url, context=context, timeout=30).read()
        raise harness.Failure("the publisher gives its index to anybody")
    except (urllib.error.URLError, OSError):
        harness.check(publisher.asked == 0, "the publisher speaks to nobody without a client certificate")
    world.publish(world.text())
    world.first = publisher.body
    alfa.start()
    world.pair.beta.start()
    [event] = [event for event in events(alfa) if event["code"] == "OK"][:1]
    harness.equal(event["sha256"], harness.sha256(publisher.body), "the message log has the SHA-256 of what was taken")
    harness.equal((event["providers"], event["domains"]), ("22", "24"), "and how many providers and domains it has")
    figures = metrics(alfa)
    harness.check(figures["sigillo_index_age_seconds"] < 600 and figures["sigillo_index_last_success_seconds"] > 1e9
                  and figures["sigillo_index_failures_total"] == 0, "the figures say the same")


def a_new_provider(world):
    pair = world.pair
    harness.equal(typed(pair, f"gino@{GAMMA}"), "esterno", f"{GAMMA} is not in the index: ordinary")
    harness.equal(typed(pair, pair.beta.mailbox), "certificato", "Beta is: certified")
    world.publish(world.text(world.gamma))
    logged(pair.alfa, "domains_added=1")
    harness.equal(typed(pair, f"gino@{GAMMA}"), "certificato", f"{GAMMA} came into the index: certified, without a restart")
    shown = json.loads(pair.alfa.command("index", "show", "--domain", GAMMA.upper(), "--json"))
    harness.equal([provider["name"] for provider in shown["providers"]], ["Gamma"], "and `index show` names its provider")


def what_is_refused(world):
    alfa, publisher = world.pair.alfa, world.publisher
    good = world.text(world.gamma)
    world.publish(good)
    whole = publisher.body
    alfa.command("index", "fetch")
    at = whole.index(GAMMA.encode())
    bodies = {
        "one altered octet": (whole[:at] + b"q" + whole[at + 1 :], "was altered"),
        "the signature of somebody else": (publisher.sign(good, "stranger"), "the signature of the index does not hold"),
        "no signature": (good, "the index is not signed"),
        "an older edition": (world.first, "older than the one in use"),
        "a quarter of it gone": (publisher.sign(world.text(world.gamma, crowd=15)), "lost 5 of 23 providers"),
        "a domain of two providers": (publisher.sign(good.replace(b"pec.altro3.example", GAMMA.encode())), "already managed by"),
        "a hash of another certificate": (publisher.sign(re.sub(rb"Hash: \w", b"Hash: g", good, count=1)), "no certificate of the entry has this hash"),
        "a page of a web server": (b"<html><body>Index of /</body></html>", "the index is not signed"),
        "nothing": (b"", "the index is not signed"),
        "an index of nobody": (publisher.sign(index()), "no provider in the index"),
    }
    failed = len([event for event in events(alfa) if event["code"] == "ERR"])
    for what, (body, words) in bodies.items():
        publisher.body = body
        status, said = refused(alfa, "index", "fetch")
        harness.check(status == 1 and words in said, f"{what}: refused ({words})")
    publisher.body = whole
    for mode, words in {"cut": "", "huge": "longer than", "away": "503"}.items():
        publisher.mode = mode
        _, said = refused(alfa, "index", "fetch")
        harness.check(words in said, f"a download that is {mode}: refused ({said.strip()[-100:]})")
    before = len(alfa.log.read_text())
    logged(alfa, "the index of providers is not updated", before)
    harness.check(metrics(alfa)["sigillo_index_failures_total"] > 0, "the running server's own attempt failed and is counted")
    said = [event for event in events(alfa) if event["code"] == "ERR"]
    harness.check(len(said) >= failed + 13 and all(event["problem"] for event in said), "each failure is in the message log")
    harness.equal(typed(world.pair, f"gino@{GAMMA}"), "certificato", "after all that the good edition is in use")
    publisher.release.clear()
    publisher.mode, asked = "slow", publisher.asked
    harness.wait_for(lambda: publisher.asked > asked, "the next fetch")
    harness.equal(typed(world.pair, world.pair.beta.mailbox), "certificato", "while a download hangs mail goes on")
    publisher.mode = "whole"
    publisher.release.set()


def by_hand(world):
    pair, alfa, publisher = world.pair, world.pair.alfa, world.publisher
    publisher.mode = "away"  # so that nothing but the command changes the index
    file = publisher.folder / "small.ldif.p7m"
    file.write_bytes(publisher.sign(world.text(crowd=10)))
    status, said = refused(alfa, "index", "import", file)
    harness.check("lost 11 of 23 providers" in said, "a small index is refused by hand as well")
    status, said = refused(alfa, "index", "verify", file)
    harness.check("lost 11 of 23 providers" in said, "and `index verify` says it before")
    told = alfa.command("index", "import", file, "--accept-shrink")
    harness.check("provider gone: Gamma" in told and f"domain gone: {GAMMA}" in told, "unless the operator says so")
    harness.wait_for(lambda: typed(pair, f"gino@{GAMMA}") == "esterno", "the running server to take what the command took", 30, 1)
    harness.check(True, "the running server takes it up by itself")
    file.write_bytes(publisher.sign(world.text(world.gamma)))
    harness.check("provider added: Gamma" in alfa.command("index", "import", file), "and back again")
    publisher.stop()
    alfa.stop()
    alfa.start()
    harness.equal(typed(pair, f"gino@{GAMMA}"), "certificato", "a start without the source uses the last good copy")


def a_directory_server(world):
    beta, publisher = world.pair.beta, world.publisher
    beta.stop()
    with Slapd(publisher.folder / "slapd", publisher) as slapd:
        crowd = [entry(f"Tanti {n}", "r@t.example", [f"t{n}.example"], der(publisher, "stranger.pem")) for n in range(1)]
        certificate = crowd[0].split("mailReceipt")[0].split("providerName: ")[1].split("\n", 1)[1]
        many = [f"dn: providerName=Tanti {n},o=postacert\nobjectClass: provider\nproviderName: Tanti {n}\n{certificate}"
                f"mailReceipt: r@t{n}.example\nmanagedDomains: t{n}.example\n" for n in range(250)]
        slapd.start(index(world.alfa, world.beta, *many))
        configure(beta, f"  index:\n    source: {slapd.url}\n    signed: false\n    every: 10s\n    tls-anchors: ../publisher/root.pem\n")
        beta.start()
        beta.command("index", "fetch")
        shown = json.loads(beta.command("index", "show", "--json"))
        harness.equal(shown["provider-count"], 252, "all pages of the directory server's answer are there")
        slapd.modify(f"dn: providerName=Alfa PEC S.p.A.,o=postacert\nchangetype: modify\nadd: managedDomains\nmanagedDomains: {GAMMA}\n")
        beta.command("index", "fetch")
        shown = json.loads(beta.command("index", "show", "--domain", GAMMA, "--json"))
        harness.equal(shown["providers"][0]["name"], "Alfa PEC S.p.A.", "and what changes there is seen")
        sent = harness.message(beta.mailbox, world.pair.alfa.mailbox)
        beta.submit(sent, [world.pair.alfa.mailbox])
        inbox = beta.inbox()
        inbox.wait(x_ricevuta="avvenuta-consegna", x_riferimento_message_id=harness.id_of(sent))
        inbox.close()
        harness.check(True, "with it a message goes its whole way")
        slapd.modify("".join(f"dn: providerName=Tanti {n},o=postacert\nchangetype: delete\n\n" for n in range(100)))
        _, said = refused(beta, "index", "fetch")
        harness.check("lost 100 of 252 providers" in said, "a tree that lost a share of it is refused")
    _, said = refused(beta, "index", "fetch")
    harness.check("refused" in said.lower(), "so is a server that is away")


def publish_ourselves(world):
    pair, alfa, publisher = world.pair, world.pair.alfa, world.publisher
    own = (f"  own:\n    provider-name: Alfa PEC S.p.A.\n    mail-receipt: {alfa.receipts}\n"
           "    location-url: https://www.alfa.example/alfa.ldif.p7m\n    key: provider\n    certificates: [../publisher/gamma.pem]\n"
           "    environments:\n      - provider-unit: Seconda sede\n        mail-receipt: ricevute@due.alfa.example\n"
           "        domains: [due.alfa.example]\n        certificates: [../publisher/stranger.pem]\n")
    alfa.config.write_text(alfa.config.read_text().replace("trust:\n", "trust:\n" + own))
    out = publisher.folder / "alfa.ldif.p7m"
    alfa.command("index", "export", "--signed", "--out", out)
    ldif = harness.run("openssl", "cms", "-verify", "-binary", "-inform", "DER", "-in", out, "-CAfile", pair.folder / "ca.pem")
    harness.equal(ldif.decode(), alfa.command("index", "export"), "openssl opens what we publish and finds the LDIF in it")
    text = re.sub(rb"\n ", b"", ldif)
    for line in (f"managedDomains: {alfa.domain}", "managedDomains: due.alfa.example", "providerUnit: Seconda sede",
                 f"mailReceipt: {alfa.receipts}", "LDIFLocationURL: https://www.alfa.example/alfa.ldif.p7m"):
        harness.check(line.encode() in text, f"it says {line}")
    harness.equal(text.count(b"LDIFLocationURL:"), 1, "the second environment has no LDIFLocationURL")
    harness.equal(text.count(b"providerCertificate;binary::"), 3, "it has the certificate in use, the next one, and the other's")
    said = alfa.command("check")
    harness.check("W703" in said and "LDIFLocationURL" in said and "'Alfa PEC S.p.A. / Seconda sede'" in said,
                  "`check` says where the index in use differs from it")
    # Beta as the operator of a central index would: held against Alfa's key, and taken.
    other = pair.beta.folder / "central.yaml"
    text = re.sub(r"  index:\n(    .*\n)+", "  index:\n    source: none.p7m\n    signer: { certificates: ../alfa/provider.pem }\n",
                  pair.beta.config.read_text()).replace("data-dir: ./data", "data-dir: ./central")
    other.write_text(text)
    told = harness.run(harness.SIGILLO, "--config", other, "index", "import", out).decode()
    harness.check("provider added: Alfa PEC S.p.A. / Seconda sede" in told, "another Sigillo takes it")
    harness.run(harness.SIGILLO, "--config", other, "index", "verify", out, "--signer", alfa.folder / "provider.pem")
    status, _ = refused(pair.beta, "index", "verify", out, "--signer", publisher.folder / "stranger.pem")
    harness.equal(status, 1, "held against another signer it is refused")


def journey():
    with harness.Pair(start=False) as pair, Publisher(pair.folder / "publisher") as publisher:
        configure(pair.alfa, f"  index:\n    source: {publisher.url}\n    every: 10s\n"
                             "    signer: { certificates: ../publisher/signer.pem }\n    tls-anchors: ../publisher/root.pem\n"
                             "    client-certificate: ../publisher/client.pem\n    client-key: ../publisher/client.key\n")
        world = World(pair, publisher)
        for part in (first_start, a_new_provider, what_is_refused, by_hand, a_directory_server, publish_ourselves):
            print(f"  {part.__name__}", flush=True)
            part(world)


harness.main(journey)
