"""Reads SMTP replies (RFC 5321 section 4.2) out of bytes as they come.

Pure: bytes in, replies out, the same however the bytes were cut. What is not a reply gives
one PROTOCOL fault, after which nothing is read any more.
"""

import re
from functools import lru_cache

from mailproxy_server.mail.transcript import REPLY_TEXT_LIMIT, Fault, FaultKind, Reply

LINE_LIMIT = 8192
"""Octets of one line; the RFC says 512, relays say more."""
REPLY_LIMIT = 64 * 1024
"""Octets of one reply with all its lines: a relay that never ends one is given up."""

_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ \-])(.*))?\Z", re.DOTALL)
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?:[ \t]+|\Z)")
_CONTROLS = {n: " " for n in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if n != 0x0A}


class ReplyReader:
    """Gathers bytes into replies."""

    def __init__(self) -> None:
        self._rest = b""
        self._code = 0
        self._lines: list[bytes] = []
        self._octets = 0
        self._failed = False

    @property
    def inside(self) -> bool:
        """Whether a part of a reply was read that is not complete."""
        return bool(self._rest or self._lines)

    def feed(self, data: bytes) -> list[Reply | Fault]:
        """Take bytes and give the replies that they complete; a fault is the last of all."""
        found: list[Reply | Fault] = []
        if self._failed:
            return found
        *lines, self._rest = (self._rest + data if self._rest else data).split(b"\n")
        for line in lines:
            read = self._take(line)
            if read is not None:
                found.append(read)
            if isinstance(read, Fault):
                return found
        if len(self._rest) > LINE_LIMIT:
            found.append(self._fail("a reply line has no end"))
        return found

    def _take(self, line: bytes) -> Reply | Fault | None:
        if line[3:4] == b" " and not self._lines and len(line) <= LINE_LIMIT:
            return _single(line) or self._fail(f"not an SMTP reply: {_show(line)}")
        self._octets += len(line)
        if len(line) > LINE_LIMIT or self._octets > REPLY_LIMIT:
            return self._fail("a reply is longer than any relay needs")
        match = _LINE.match(line.rstrip(b"\r"))
        if match is None:
            return self._fail(f"not an SMTP reply: {_show(line)}")
        code = int(match[1])
        if self._lines and code != self._code:
            return self._fail(f"a reply began with {self._code} and went on with {code}")
        self._code = code
        self._lines.append(match[3] or b"")
        if match[2] == b"-":
            return None
        reply = make_reply(code, b"\n".join(self._lines).decode("utf-8", "replace"))
        self._lines, self._octets = [], 0
        return reply

    def _fail(self, detail: str) -> Fault:
        self._failed = True
        return Fault(FaultKind.PROTOCOL, detail)


def make_reply(code: int, text: str) -> Reply:
    """Give the reply of these lines (joined by newlines, without basic codes).

    Enhanced codes (RFC 2034) are taken off each line; one of another class than the basic code
    is not believed and stays in the text.
    """
    enhanced = ""
    lines = []
    for line in text.split("\n"):
        match = _ENHANCED.match(line)
        if match and int(match[1]) == code // 100:
            enhanced = enhanced or f"{match[1]}.{int(match[2])}.{int(match[3])}"
            line = line[match.end() :]
        lines.append(line.strip())
    words = "\n".join(lines).translate(_CONTROLS)
    octets = words.encode("utf-8", "replace")
    if len(octets) <= REPLY_TEXT_LIMIT:
        return Reply(code, enhanced, octets.decode() if not words.isascii() else words)
    return Reply(code, enhanced, octets[:REPLY_TEXT_LIMIT].decode("utf-8", "ignore"), True)


@lru_cache(maxsize=1024)
def _single(line: bytes) -> Reply | None:
    """One-line replies, cached: a relay says the same few thousands of times."""
    match = _LINE.match(line.rstrip(b"\r"))
    if match is None:
        return None
    return make_reply(int(match[1]), match[3].decode("utf-8", "replace"))


def _show(line: bytes) -> str:
    return repr(line[:60].decode("ascii", "backslashreplace"))
