"""`demo --once` as anyone would run it, twice: the second time on what the first one left."""

import os
import subprocess
import tempfile
from pathlib import Path

import harness


def demo(folder):
    words = [harness.XTASK, "demo", "--once", "--dir", folder]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise harness.Failure(f"the demo ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return done.stdout


def journey():
    with tempfile.TemporaryDirectory(prefix="sigillo-demo-") as scratch:
        folder = Path(scratch) / "demo"
        said = demo(folder)
        harness.check(all(f"[{number}/9]" in said for number in range(1, 10)), "nine steps are shown")
        authority = (folder / "ca.pem").read_bytes()
        for name in ("acceptance", "transport", "take-charge", "delivery"):
            content = (folder / "out" / f"{name}.eml").read_bytes()
            harness.verify_signature(content, folder / "ca.pem", scratch)
            harness.check(b"\r\n" in content and b"\n" not in content.replace(b"\r\n", b""), f"{name}.eml is there, signed, with CRLF line ends")
        for name in ("forward.eml", "alert.eml", "archived.eml", "package.tar"):
            harness.check((folder / "out" / name).stat().st_size > 0, f"{name} is there")
        harness.equal(os.stat(folder / "credentials.txt").st_mode & 0o777, 0o600, "passwords are their owner's alone")
        first = (folder / "out/transport.eml").read_bytes()
        demo(folder)
        harness.equal((folder / "ca.pem").read_bytes(), authority, "a second run keeps keys and mailboxes")
        harness.check((folder / "out/transport.eml").read_bytes() != first, "and sends a new message")


harness.main(journey)
