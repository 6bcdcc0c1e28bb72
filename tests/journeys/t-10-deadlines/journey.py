"""The recipient's provider is away: the sender hears of it after 12 hours and before 24, once each, signed, whatever the
server went through in between; and the end of the queue adds no third word to it."""

import json

import harness

ABOUT = "preavviso-errore-consegna"


def told(pair, sent):
    """The notices about this message in Ada's mailbox, as bytes, and how many other bad news there are."""
    ada = pair.alfa.inbox()
    about = harness.id_of(sent)
    notices = [ada.fetch(uid) for uid in ada.find(x_ricevuta=ABOUT, x_riferimento_message_id=about)]
    failures = len(ada.find(x_ricevuta="errore-consegna", x_riferimento_message_id=about))
    ada.close()
    return notices, failures


def restart(pair, ahead):
    pair.alfa.stop()
    pair.alfa.start(ahead)


def barrier(pair):
    """Something else goes all the way through Alfa: what was due before it has been done."""
    again = harness.message(pair.alfa.mailbox, pair.alfa.mailbox, subject="Barrier")
    pair.alfa.submit(again, [pair.alfa.mailbox])
    ada = pair.alfa.inbox()
    ada.wait(x_ricevuta="avvenuta-consegna", x_riferimento_message_id=harness.id_of(again))
    ada.close()


def check_notice(pair, content, code, words):
    harness.verify_signature(content, pair.folder / "ca.pem", pair.folder)
    harness.check(True, f"{code}: openssl verifies its signature")
    xml = harness.part_bytes(content, "daticert.xml")
    harness.valid_daticert(xml, pair.folder)
    harness.check(f"{code} - ".encode() in xml and pair.beta.mailbox.encode() in xml, f"{code}: valid certification data, about Bruno")
    header = harness.header_of(content)
    harness.check(header["Subject"].startswith("AVVISO DI MANCATA CONSEGNA PER SUP. TEMPO MASSIMO: "), f"{code}: subject")
    harness.check(words in xml.decode(), f"{code}: says «{words}»")


def journey():
    with harness.Pair(start=False) as pair:
        pair.alfa.start()
        sent = harness.message(pair.alfa.mailbox, pair.beta.mailbox, subject="Is anybody there")
        pair.alfa.submit(sent, [pair.beta.mailbox])
        ada = pair.alfa.inbox()
        ada.wait(x_ricevuta="accettazione", x_riferimento_message_id=harness.id_of(sent))
        ada.close()
        barrier(pair)
        harness.equal(told(pair, sent), ([], 0), "at first nothing is said")

        restart(pair, "+12h")
        notices = harness.wait_for(lambda: told(pair, sent)[0], "the first notice")
        check_notice(pair, notices[0], "4.4.1", "nelle prime dodici ore")
        restart(pair, "+13h")
        barrier(pair)
        harness.equal(len(told(pair, sent)[0]), 1, "a restart later there is still one")

        restart(pair, "+22h")
        notices = harness.wait_for(lambda: len(told(pair, sent)[0]) > 1 and told(pair, sent)[0], "the second notice")
        check_notice(pair, notices[1], "5.4.1", "nelle prime ventiquattro ore")
        restart(pair, "+23h")
        barrier(pair)
        harness.equal(len(told(pair, sent)[0]), 2, "and a restart later there are two")

        restart(pair, "+26h")
        waiting = lambda: [e for e in json.loads(pair.alfa.command("queue", "list", "--json")) if pair.beta.mailbox in str(e)]
        harness.wait_for(lambda: not waiting(), "the queue to give up")
        barrier(pair)
        notices, failures = told(pair, sent)
        harness.equal((len(notices), failures), (2, 0), "the end of the queue adds no third word")
        events = json.loads(pair.alfa.command("log", "search", "--recipient", pair.beta.mailbox, "--json"))
        kinds = [event["kind"] for event in events]
        for kind in ("timeout-warning", "timeout", "remote-end"):
            harness.equal(kinds.count(kind), 1, f"the log has one {kind}")


harness.main(journey)
