#!/usr/bin/env python3
"""Checks every golden set by software that is not ours: Python, its `cryptography` and `asn1crypto`, openssl, xmllint.

    check.py [SET...]

For every message that a set expects: what any message on the wire must be; the signature by two implementations; header,
parts and certification data by the rules of its kind; texts against the models; the original byte for byte; digests
computed anew. Exit status 0 only if all of it holds.
"""

import json
import sys
from pathlib import Path

from checking import rules
from checking.data import Data
from checking.mail import Entity, Wrong, check, equal
from checking.signature import Pki

HERE = Path(__file__).resolve().parent


class Set:
    """One folder: its steps, in their order, with the messages that each made."""

    def __init__(self, folder, pki):
        self.folder, self.pki, self.kinds = folder, pki, []
        self.envelopes = {}

    def bytes(self, name):
        path = self.folder / f"expected-{name}.eml"
        return (path if path.exists() else self.folder / name).read_bytes()

    def check(self):
        for step in json.loads((self.folder / "expected.json").read_text()):
            try:
                self.check_step(step)
            except Wrong as wrong:
                raise Wrong(f"{step['at']}, {step['stage']} of {step['got']}: {wrong}") from None
        return self.kinds

    def check_step(self, step):
        got = self.bytes(step["got"]) if step["got"] else None
        if step.get("made"):
            self.check_made(step, got)
        for queued in step.get("queued", []):
            message = rules.Signed(self.bytes(queued["name"]), step, self.pki)
            rules.check_receipt(message, queued, self.basis(step, got, message))
            if message.data.kind == "avvenuta-consegna":
                rules.check_delivery(message, got)
            self.kinds.append((message.data.kind, message.entity.one("Message-ID")))
        self.check_said(step)

    def check_made(self, step, got):
        message = rules.Signed(self.bytes(step["made"]), step, self.pki)
        if step["stage"] == "access":
            rules.check_envelope(message, got, step)
            self.envelopes[message.data.identifier] = message.data
            self.kinds.append((message.data.kind, message.entity.one("Message-ID")))
        else:
            rules.check_anomaly(message, got, step)
            self.kinds.append(("anomalia", f"<{self.folder.name} {step['made']}>"))

    def basis(self, step, got, message):
        """What the message in hand says of the original: its certification data, or the original itself."""
        if step["stage"] == "access" and step.get("made"):
            return Data(rules.Signed(self.bytes(step["made"]), step, self.pki).data.xml)
        if step["stage"] == "access":
            return rules.original_data(Entity(got), step, message)
        if step["stage"] == "timer":
            return self.envelopes[message.data.identifier]
        parts = Entity(got).children[0].children
        return Data(next(part.decoded_body() for part in parts if part.filename() == "daticert.xml"))

    def check_said(self, step):
        """Every message made has an event of its own, with its id (PEC §2.3)."""
        related = [name for event in step.get("events", []) for name in event["related"]]
        for queued in step.get("queued", []):
            own = Entity(self.bytes(queued["name"])).one("Message-ID").strip("<>")
            check(own in related, f"no event for {queued['name']}")
        for event in step.get("events", []):
            check(event["message-id"] and event["kind"], "an event that says nothing")


def main():
    pki = Pki(HERE / "pki")
    folders = sorted(path.parent for path in HERE.glob("*/expected.json"))
    chosen = [folder for folder in folders if not sys.argv[1:] or folder.name in sys.argv[1:]]
    check(chosen, "no such set")
    failed, identifiers, count = 0, {}, {}
    for folder in chosen:
        try:
            for kind, identifier in Set(folder, pki).check():
                count[kind] = count.get(kind, 0) + 1
                equal(identifiers.setdefault(identifier, folder.name), folder.name, f"{identifier} in two sets")
        except Wrong as wrong:
            failed += 1
            print(f"{folder.name}: {wrong}", file=sys.stderr)
    for kind, number in sorted(count.items()):
        print(f"{number:4} {kind}")
    print(f"{len(chosen) - failed} of {len(chosen)} sets hold, {sum(count.values())} signed messages")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
