"""The golden sets hold by software that is not ours, and that software notices what is wrong."""

import shutil
import subprocess
import tempfile
from pathlib import Path

import harness

SETS = harness.ROOT / "tests/pec"
# (set, file, from, to, a word of the complaint). What is signed cannot change unseen; these are for what is not.
CHANGES = [
    ("01-whole-walk", "expected-acceptance.eml", b"X-Ricevuta: accettazione", b"X-Ricevuta: avvenuta-consegna", "X-Ricevuta"),
    ("01-whole-walk", "expected-acceptance.eml", b"Subject: ACCETTAZIONE: Prova", b"Subject: ACCETTAZIONE: Altro", "Subject"),
    ("01-whole-walk", "expected-acceptance.eml", b"To: ada@pec.alfa.example", b"To: carla@pec.alfa.example", "To"),
    ("01-whole-walk", "expected-acceptance.eml", b"\r\nFrom: posta-certificata@alfa", b"\r\nFrom: posta-certificata@beta", "certificate"),
    ("01-whole-walk", "expected-transport-envelope.eml", b"Il giorno", b"Il Giorno", "openssl"),
    ("01-whole-walk", "expected-transport-envelope.eml", b"X-TipoRicevuta: completa", b"X-TipoRicevuta: breve", "form"),
    ("01-whole-walk", "expected-transport-envelope.eml", b'"Per conto di: ada', b'"Per conto di: carla', "display name"),
    ("01-whole-walk", "expected-transport-envelope.eml", b"Buongiorno.", b"Buonasera..", "openssl"),
    ("01-whole-walk", "given.eml", b"Buongiorno.", b"Buonasera..", "postacert.eml"),
    ("06-brief", "expected-transport-envelope.eml", b"\r\nCc: dora@", b"\r\nCc: dorx@", "inherited Cc"),
    ("21-ordinary-mail", "given.eml", b"Subject: Prova", b"Subject: Altro", "the message as it came"),
]


def checked(folder, *sets):
    """Exit status and output of the check on a copy of the sets."""
    words = [str(harness.python_with_libraries()), str(folder / "check.py"), *sets]
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr.partition("\n")[0]


def journey():
    status, said = checked(SETS)
    print(said, end="", flush=True)
    harness.equal(status, 0, "every set holds")
    folders = [path.parent for path in SETS.glob("*/given.json")]
    harness.check(all((folder / "README.md").exists() for folder in folders), f"each of {len(folders)} sets says what it shows")
    harness.check(f"{len(folders)} of {len(folders)} sets hold" in said, "none is left out")
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "pec"
        shutil.copytree(SETS, copy)
        for name, file, before, after, complaint in CHANGES:
            path = copy / name / file
            kept = path.read_bytes()
            if before not in kept:
                raise harness.Failure(f"{name}/{file} has no {before.decode()!r}")
            path.write_bytes(kept.replace(before, after, 1))
            status, said = checked(copy, name)
            harness.check(status == 1 and complaint in said, f"  {after.decode()!r} is noticed: {said.strip().splitlines()[-1][:120]}")
            path.write_bytes(kept)


harness.main(journey)
