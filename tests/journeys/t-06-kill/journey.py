"""Whatever dies when: every message that was accepted has exactly one acceptance receipt, one delivered envelope and
one delivery receipt, and nothing exists twice.

One of the two servers, or both, is killed (SIGKILL) at a random moment, a hundred times, while clients submit.

    SEED=…  the same moments again (as far as the machine allows)     KILLS=…  another number of times
"""

import collections
import os
import random
import smtplib
import threading
import time

import harness

KILLS = int(os.environ.get("KILLS", "100"))
SEED = int(os.environ.get("SEED", time.time_ns() % 1_000_000))
CLIENTS = 3
# After the last restart: long enough for a delivery that met a dead server to be tried again.
QUIET_SECONDS = 900


class Client(threading.Thread):
    """Submits one message after the other; a message counts as accepted only with a 250 in hand."""

    def __init__(self, pair, number, stop):
        super().__init__(daemon=True)
        self.pair, self.number, self.stop = pair, number, stop
        self.accepted, self.unsure, self.refused = set(), set(), 0

    def run(self):
        count = 0
        while not self.stop.is_set():
            count += 1
            # A new id for every attempt: the same message submitted twice would rightly be two.
            client_id = f"<{self.number}.{count}@client.example>"
            text = f"{count}\r\n" * random.randint(1, 400)
            sent = harness.message(self.pair.alfa.mailbox, self.pair.beta.mailbox, text=text, message_id=client_id)
            try:
                self.pair.alfa.submit(sent, [self.pair.beta.mailbox])
                self.accepted.add(client_id)
            except smtplib.SMTPResponseException:
                self.refused += 1
                self.unsure.add(client_id)
            except (OSError, smtplib.SMTPException):
                self.unsure.add(client_id)
                time.sleep(0.05)
            time.sleep(0.02)


def count(inbox, field, value):
    """{client's Message-ID: how many such messages there are}"""
    headers = inbox.headers().values()
    chosen = [header for header in headers if (header[field] or "").strip() == value]
    return collections.Counter((header["X-Riferimento-Message-ID"] or "").strip() for header in chosen)


def counts(pair):
    ada, bruno = pair.alfa.inbox(), pair.beta.inbox()
    found = {
        "acceptance receipt": count(ada, "X-Ricevuta", "accettazione"),
        "delivered envelope": count(bruno, "X-Trasporto", "posta-certificata"),
        "delivery receipt": count(ada, "X-Ricevuta", "avvenuta-consegna"),
    }
    ada.close()
    bruno.close()
    return found


def quiet(pair, accepted):
    """Waits until nothing is missing any more, or nothing has changed for long; then once more for what is too many."""
    end = time.monotonic() + QUIET_SECONDS
    while time.monotonic() < end:
        found = counts(pair)
        if all(accepted <= set(kind) for kind in found.values()) and len({len(kind) for kind in found.values()}) == 1:
            break
        time.sleep(2)
    time.sleep(3)
    return counts(pair)


def judge(found, accepted, unsure):
    for kind, numbers in found.items():
        missing = [name for name in accepted if numbers[name] == 0]
        twice = [name for name, number in numbers.items() if number > 1]
        unknown = set(numbers) - accepted - unsure
        harness.check(not missing, f"{kind}: none of {len(accepted)} is missing {missing[:5]}")
        harness.check(not twice, f"{kind}: none exists twice {twice[:5]}")
        harness.check(not unknown, f"{kind}: none for a message that nobody sent {list(unknown)[:5]}")
    whole = {kind: set(numbers) for kind, numbers in found.items()}
    first = whole["acceptance receipt"]
    harness.check(all(ids == first for ids in whole.values()), f"{len(first)} messages have all three or none")


def journey():
    print(f"  SEED={SEED} KILLS={KILLS}", flush=True)
    chance, stop = random.Random(SEED), threading.Event()
    with harness.Pair() as pair:
        clients = [Client(pair, number, stop) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        for number in range(KILLS):
            victims = chance.choice([[pair.alfa], [pair.beta], [pair.alfa, pair.beta]])
            time.sleep(chance.uniform(0.0, 0.6))
            for victim in victims:
                victim.kill()
            for victim in victims:
                victim.start()
            if (number + 1) % 20 == 0:
                print(f"  {number + 1} kills, {sum(len(client.accepted) for client in clients)} messages accepted", flush=True)
        stop.set()
        for client in clients:
            client.join(70)
        accepted = set().union(*(client.accepted for client in clients))
        unsure = set().union(*(client.unsure for client in clients))
        print(f"  {len(accepted)} accepted, {len(unsure)} attempts without an answer", flush=True)
        harness.check(len(accepted) >= KILLS, "enough messages for the kills to meet some")
        judge(quiet(pair, accepted), accepted, unsure)
        for server in (pair.alfa, pair.beta):
            server.command("log", "verify")
            harness.check(True, f"{server.word}: the message log is whole")


harness.main(journey)
