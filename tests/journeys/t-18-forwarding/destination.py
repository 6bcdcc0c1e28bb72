"""An ordinary mail server (aiosmtpd) that checks SPF (pyspf) and keeps what it takes, for t-18-forwarding.

    destination.py PORT RESOLVER-PORT FOLDER

Each message lies in FOLDER as N.eml beside N.json (envelope, SPF). What FOLDER/mode says changes how it answers: `ok`,
`garbage` (no SMTP at the end of data), `drop` (takes the message and cuts the connection), `slow` (takes the message and
answers when the mode is another), `drip` (the same, and says an octet of the answer from time to time).
FOLDER/circles.json maps an address to
[port, address]: what comes for it is sent on there, as users of ordinary providers have it done.
"""

import asyncio
import json
import smtplib
import ssl
import sys
from pathlib import Path

import dns.resolver
import spf
from aiosmtpd.controller import Controller

PORT, RESOLVER, FOLDER = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])


def resolver():
    own = dns.resolver.Resolver(configure=False)
    own.nameservers, own.port, own.lifetime = ["127.0.0.1"], RESOLVER, 5
    return own


dns.resolver.default_resolver = resolver()


def pass_on(content, sender, port, to):
    """As a forward of an ordinary provider: the bytes as they came, with a trace above, to somebody else."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with smtplib.SMTP("127.0.0.1", port, local_hostname="mx.mail.example", timeout=60) as session:
        session.starttls(context=context)
        session.sendmail(sender, [to], b"Received: from elsewhere by mx.mail.example; now\r\n" + content)


class Handler:
    count = 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("gone@"):
            return "550 5.1.1 No such user here"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server, session, envelope):
        mode = (FOLDER / "mode").read_text().strip()
        if mode == "garbage":
            return "<html>what is this</html>"
        ask = lambda: spf.check2(i="127.0.0.1", s=envelope.mail_from, h=session.host_name)
        result, words = await asyncio.to_thread(ask)
        Handler.count += 1
        content = envelope.original_content
        facts = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "hello": session.host_name, "spf": result, "words": words}
        (FOLDER / f"{Handler.count}.eml").write_bytes(content)
        new = FOLDER / f"{Handler.count}.new"
        new.write_text(json.dumps(facts))
        new.rename(FOLDER / f"{Handler.count}.json")
        circles = json.loads((FOLDER / "circles.json").read_text())
        for address in envelope.rcpt_tos:
            if address in circles:
                await asyncio.to_thread(pass_on, content, address, *circles[address])
        if mode == "drop":
            server.transport.abort()
        if mode == "drip":
            server.transport.write(b"250-")
        while mode in ("slow", "drip") and (FOLDER / "mode").read_text().strip() == mode:
            await asyncio.sleep(0.1)
            if mode == "drip":
                server.transport.write(b"x")
        if mode == "drip":
            server.transport.write(b"\r\n")
        return "250 2.0.0 Ok"


controller = Controller(Handler(), hostname="127.0.0.1", port=PORT, data_size_limit=200_000_000)
Handler.count = len(list(FOLDER.glob("*.json"))) - 1  # circles.json is none of them
controller.start()
print("ready", flush=True)
try:
    asyncio.new_event_loop().run_forever()
finally:
    controller.stop()
