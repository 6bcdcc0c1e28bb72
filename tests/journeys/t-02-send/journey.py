"""Every ordinary client can send, on both submission ports; each message arrives and each has its three receipts."""

import harness


def by_swaks(pair, path, client_id):
    alfa = pair.alfa
    words = ["swaks", "--server", f"localhost:{alfa.ports['submission']}", "--tls", "--tls-verify", "--tls-ca-path", alfa.ca]
    words += ["--auth", "PLAIN", "--auth-user", alfa.mailbox, "--auth-password", alfa.passwords[alfa.mailbox]]
    harness.run(*words, "--from", alfa.mailbox, "--to", pair.beta.mailbox, "--data", f"@{path}", "--hide-all")


def by_curl(pair, path, client_id):
    alfa = pair.alfa
    words = ["curl", "-sS", "--cacert", alfa.ca, "--url", f"smtps://localhost:{alfa.ports['submissions']}/client.example"]
    words += ["--user", f"{alfa.mailbox}:{alfa.passwords[alfa.mailbox]}", "--mail-from", alfa.mailbox]
    harness.run(*words, "--mail-rcpt", pair.beta.mailbox, "--upload-file", path)


def by_curl_starttls(pair, path, client_id):
    alfa = pair.alfa
    words = ["curl", "-sS", "--ssl-reqd", "--cacert", alfa.ca, "--url", f"smtp://localhost:{alfa.ports['submission']}/client.example"]
    words += ["--user", f"{alfa.mailbox}:{alfa.passwords[alfa.mailbox]}", "--mail-from", alfa.mailbox]
    harness.run(*words, "--mail-rcpt", pair.beta.mailbox, "--upload-file", path)


def by_msmtp(pair, path, client_id):
    alfa = pair.alfa
    words = ["msmtp", "-C", "/dev/null", "--host=localhost", f"--port={alfa.ports['submissions']}", "--auth=login"]
    words += [f"--user={alfa.mailbox}", f"--passwordeval=echo {alfa.passwords[alfa.mailbox]}", "--tls=on", "--tls-starttls=off"]
    words += [f"--tls-trust-file={alfa.ca}", f"--from={alfa.mailbox}", "--", pair.beta.mailbox]
    harness.run(*words, stdin=path.read_bytes().replace(b"\r\n", b"\n"))


def by_smtplib(pair, path, client_id):
    pair.alfa.submit(path.read_bytes(), [pair.beta.mailbox])


CLIENTS = {
    "swaks, 587, STARTTLS": by_swaks,
    "curl, 465": by_curl,
    "curl, 587, STARTTLS": by_curl_starttls,
    "msmtp, 465, AUTH LOGIN": by_msmtp,
    "Python smtplib, 465": by_smtplib,
}

TEXT = "Prova.\r\n.una riga che comincia con un punto\r\n..e una con due\r\nfine\r\n"


def journey():
    with harness.Pair() as pair:
        ada, bruno = pair.alfa.inbox(), pair.beta.inbox()
        service = pair.alfa.inbox(pair.alfa.receipts)
        for name, send in CLIENTS.items():
            client_id = f"<{name.split(',')[0].split()[0]}.{abs(hash(name))}@client.example>"
            sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox, subject=name, text=TEXT, message_id=client_id)
            path = pair.folder / "sent.eml"
            path.write_bytes(sent)
            send(pair, path, client_id)
            about = {"x_riferimento_message_id": client_id}
            ada.wait(x_ricevuta="accettazione", **about)
            service.wait(x_ricevuta="presa-in-carico", **about)
            ada.wait(x_ricevuta="avvenuta-consegna", **about)
            envelope = bruno.get(x_trasporto="posta-certificata", **about)
            body = harness.fields(harness.part_bytes(envelope, "postacert.eml"))[1]
            harness.equal(body.rstrip(b"\r\n"), TEXT.encode().rstrip(b"\r\n"), f"{name}: arrived, with its receipts")
        for inbox in (ada, bruno, service):
            inbox.close()


harness.main(journey)
