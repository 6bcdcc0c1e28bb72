"""Messages by hand: header fields and MIME parts with their exact bytes, and what must hold for any bytes on the wire."""

import email
import email.header
import email.policy
import email.utils

LINE_MAX = 998  # RFC 5322 §2.1.1, without the line end


class Wrong(Exception):
    """What does not hold, in words."""


def check(holds, what):
    if not holds:
        raise Wrong(what)


def equal(found, expected, what):
    if found != expected:
        raise Wrong(f"{what}: {found!r} instead of {expected!r}")


class Entity:
    """A message or part: `head` with its empty line, `body`, children of a multipart or of an attached message."""

    def __init__(self, content):
        if content.startswith(b"\r\n"):
            self.head, self.body = content[:2], content[2:]
        else:
            head, _, self.body = content.partition(b"\r\n\r\n")
            self.head = head + b"\r\n\r\n"
        self.content = content
        self.parsed = email.message_from_bytes(self.head, policy=email.policy.compat32)
        self.type = self.parsed.get_content_type()
        self.preamble, self.children = b"", []
        if self.type.startswith("multipart/"):
            self._split()
        elif self.type == "message/rfc822":
            self.children = [Entity(self.body)]

    def _split(self):
        delimiter = b"\r\n--" + self.parsed.get_boundary().encode()
        pieces = (b"\r\n" + self.body).split(delimiter)
        # A line that only begins like the boundary belongs to the part (RFC 2046 §5.1.1).
        joined = [pieces[0]]
        for piece in pieces[1:]:
            if piece[:2] in (b"\r\n", b"--", b"") or piece[:1] in (b" ", b"\t"):
                joined.append(piece)
            else:
                joined[-1] += delimiter + piece
        check(len(joined) >= 3 and joined[-1].startswith(b"--"), f"{self.type} without an end")
        self.preamble = joined[0]
        self.children = [Entity(piece.partition(b"\r\n")[2]) for piece in joined[1:-1]]

    def fields(self, name):
        """Values of every field of this name, unfolded."""
        return [value.replace("\r\n", "").replace("\n", "").strip() for value in self.parsed.get_all(name, [])]

    def raw_fields(self, name):
        """Every field of this name with its line ends, as it stands."""
        fields, wanted = [], False
        for line in self.head.split(b"\r\n")[:-2]:
            if line[:1] in (b" ", b"\t"):
                if wanted:
                    fields[-1] += line + b"\r\n"
            else:
                wanted = line.partition(b":")[0].lower() == name.lower().encode()
                if wanted:
                    fields.append(line + b"\r\n")
        return fields

    def one(self, name):
        """The value of a field that stands exactly once."""
        values = self.fields(name)
        equal(len(values), 1, f"fields {name}")
        return values[0]

    def text(self, name):
        """The decoded value of a field that stands at most once; none if it does not."""
        values = self.parsed.get_all(name, [])
        check(len(values) <= 1, f"{name} stands more than once")
        return decoded(values[0]) if values else None

    def filename(self):
        value = self.parsed.get_filename()
        return None if value is None else str(value)

    def encoding(self):
        return self.parsed.get("Content-Transfer-Encoding", "7bit").strip().lower()

    def decoded_body(self):
        whole = email.message_from_bytes(self.content, policy=email.policy.compat32)
        return whole.get_payload(decode=True)


def decoded(value):
    """RFC 2047, blanks collapsed as a reader shows them."""
    text = str(email.header.make_header(email.header.decode_header(value)))
    return " ".join(text.split())


def addresses(values):
    return [address for _, address in email.utils.getaddresses(values)]


def check_wire(message):
    """CRLF and nothing else, lines that fit, and 8-bit bytes only where the labels say so."""
    bare = message.replace(b"\r\n", b"")
    check(b"\r" not in bare and b"\n" not in bare, "a bare CR or LF")
    check(message.endswith(b"\r\n"), "no line end at the end")
    for line in message.split(b"\r\n"):
        check(len(line) <= LINE_MAX, f"a line of {len(line)} octets")
    check(b"\0" not in message, "a NUL")
    entity = Entity(message)
    check(entity.head.isascii(), "8-bit bytes in the header section")
    check_labels(entity)
    problems = [part.defects for part in email.message_from_bytes(message).walk() if part.defects]
    check(not problems, f"Python's reader finds {problems}")


def check_labels(entity):
    """RFC 2045 §6.2, §6.4: what is labelled 7bit is, down to what the provider did not make."""
    if not entity.content.isascii():
        equal(entity.encoding(), "8bit", f"label of a {entity.type} with 8-bit bytes")
    if entity.type.startswith("multipart/"):
        check(entity.encoding() in ("7bit", "8bit"), f"a {entity.type} in {entity.encoding()}")
        for child in entity.children:
            check_labels(child)
