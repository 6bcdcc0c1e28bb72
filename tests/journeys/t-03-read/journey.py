"""Every ordinary client reads the same bytes: curl, mbsync and imaplib give one SHA-256 for each message."""

import re
import shutil

import harness

# What mail programs are known to spoil: trailing blanks, dots, a line of the greatest length, an empty last line.
TEXT = "blanks at the end   \r\n.\r\n..\r\n\r\n" + "x" * 998 + "\r\n\ttab\r\nFrom the beginning\r\n\r\n"


def by_imaplib(pair, uids):
    inbox = pair.beta.inbox()
    contents = [inbox.fetch(uid) for uid in uids]
    inbox.close()
    return contents


def by_curl(pair, uids, scheme="imaps", port="imaps", more=()):
    beta, contents = pair.beta, []
    for uid in uids:
        url = f"{scheme}://localhost:{beta.ports[port]}/INBOX;UID={uid}"
        user = f"{beta.mailbox}:{beta.passwords[beta.mailbox]}"
        contents.append(harness.run("curl", "-sS", *more, "--cacert", beta.ca, "--user", user, url))
    return contents


def by_curl_starttls(pair, uids):
    return by_curl(pair, uids, "imap", "imap", ["--ssl-reqd"])


def by_mbsync(pair, uids):
    beta, here = pair.beta, pair.folder / "mbsync"
    shutil.rmtree(here, ignore_errors=True)
    (here / "mail").mkdir(parents=True)
    (here / "rc").write_text(
        f"IMAPAccount a\nHost localhost\nPort {beta.ports['imaps']}\nUser {beta.mailbox}\nPass {beta.passwords[beta.mailbox]}\n"
        f"SSLType IMAPS\nSystemCertificates no\nCertificateFile {beta.ca}\n\nIMAPStore far\nAccount a\n\n"
        f"MaildirStore near\nPath {here}/mail/\nInbox {here}/mail/INBOX\nSubFolders Verbatim\n\n"
        "Channel c\nFar :far:\nNear :near:\nPatterns INBOX\nCreate Near\nSync Pull\nSyncState *\n"
    )
    harness.run("mbsync", "-q", "-c", here / "rc", "-a")
    files = [path for folder in ("new", "cur") for path in (here / "mail/INBOX" / folder).iterdir()]
    found = {}
    for path in files:
        # A maildir has bare LF, and mbsync marks what it copies with a field of its own: undo both.
        content = re.sub(rb"(?m)^X-TUID: .*\n", b"", path.read_bytes(), count=1).replace(b"\n", b"\r\n")
        found[harness.id_of(content)] = content
    inbox = pair.beta.inbox()
    ids = [inbox.headers()[uid]["Message-ID"].strip() for uid in uids]
    inbox.close()
    return [found[name] for name in ids]


CLIENTS = {"curl, 993": by_curl, "curl, 143, STARTTLS": by_curl_starttls, "mbsync": by_mbsync}


def journey():
    with harness.Pair() as pair:
        bruno = pair.beta.inbox()
        for number in range(3):
            sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox, subject=f"{number}", text=TEXT * (number * 200 + 1))
            pair.alfa.submit(sent, [pair.beta.mailbox])
            bruno.wait(x_riferimento_message_id=harness.id_of(sent))
        uids = sorted(bruno.headers())
        bruno.close()
        expected = [harness.sha256(content) for content in by_imaplib(pair, uids)]
        for name, read in CLIENTS.items():
            found = [harness.sha256(content) for content in read(pair, uids)]
            harness.equal(found, expected, f"{name}: the same bytes as imaplib, {len(uids)} messages")


harness.main(journey)
