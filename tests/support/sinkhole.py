"""The judge of crash tests: an SMTP server that swallows everything, quickly, and counts it.

It knows a message by its X-Mailproxy-Id alone. What it counts it has counted before the reply
leaves, so that a sender killed in between is seen to have sent.
"""

import asyncio
import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Self

EHLO = b"250-sinkhole.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 33554432\r\n"
REFUSED = "refused-"
"""How the recipients begin that RCPT refuses with a 550."""
_ID = re.compile(rb"^X-Mailproxy-Id: (\S+)\r$", re.MULTILINE)
_NEEDED = (b"\r\nDate: ", b"\r\nMessage-ID: <")

ORDINARY, HOLD, CUT, LATER = "ordinary", "hold", "cut", "later"
"""What may be done at a command: answer it, hold the answer back, cut, or answer 451."""
Answers = Callable[[str, int], str]

Wanted = tuple[str, str]
"""A message's id and a recipient."""


class Sinkhole:
    """Listens on a loopback port of its own.

    `copies` counts final dots by message and recipient, `by_port` by the sender's port.
    `versions` holds the digests of each message's bytes, `headless` the ids of those that came
    without Date or Message-ID.
    """

    def __init__(self) -> None:
        self.port = 0
        self.copies: Counter[Wanted] = Counter()
        self.latest: dict[Wanted, float] = {}
        """When the last final dot of each came, by the monotonic clock."""
        self.by_port: Counter[int] = Counter()
        self.versions: dict[str, set[bytes]] = {}
        self.headless: set[str] = set()
        self.dots = 0
        self.answers: Answers = lambda verb, port: ORDINARY
        """Asked at each "MAIL", "DATA" and "DOT" what to do, with the sender's port."""
        self.held: list[tuple[int, Callable[[], None]]] = []
        """Replies that are held back: the sender's port, and what lets it go."""
        self.open: dict[int, asyncio.Transport] = {}
        """Connections by the sender's port."""
        self._server: asyncio.Server | None = None

    @property
    def messages(self) -> int:
        """How many different messages have come."""
        return len(self.versions)

    def swallow(self, recipients: list[str], content: bytes, port: int, taken: bool) -> None:
        """Keep what one final dot brought, and count it if it was taken or may have been."""
        head = b"\r\n" + content.partition(b"\r\n\r\n")[0] + b"\r\n"
        found = _ID.search(head)
        message_id = found[1].decode() if found else "none"
        for recipient in recipients if taken else []:
            self.copies[message_id, recipient] += 1
            self.latest[message_id, recipient] = time.monotonic()
        self.by_port[port] += taken
        self.dots += taken
        self.versions.setdefault(message_id, set()).add(hashlib.sha256(content).digest())
        if any(header not in head for header in _NEEDED):
            self.headless.add(message_id)

    def release(self) -> None:
        """Let go all replies that are held back."""
        for _, let_go in self.held:
            let_go()
        self.held.clear()

    def cut_all(self) -> None:
        """Cut every open connection hard."""
        for transport in list(self.open.values()):
            transport.abort()

    async def start(self) -> None:
        """Listen; after `stop`, on the same port again."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Dialogue(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Stop listening and cut what is open."""
        if self._server:
            self._server.close()
            self._server = None
        self.cut_all()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


class _Dialogue(asyncio.Protocol):
    """One connection: answers pipelined commands, all replies of a segment in one write."""

    def __init__(self, sinkhole: Sinkhole) -> None:
        self._sinkhole = sinkhole
        self._buffer = bytearray()
        self._recipients: list[str] = []
        self._begun = self._in_data = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._port: int = transport.get_extra_info("peername")[1]
        self._sinkhole.open[self._port] = transport
        transport.write(b"220 sinkhole.test ESMTP\r\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._sinkhole.open.pop(self._port, None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies = bytearray()
        while not self._transport.is_closing() and (reply := self._next()) is not None:
            replies += reply
        if replies:
            self._transport.write(bytes(replies))

    def _next(self) -> bytes | None:
        """Give the reply to the next command or content; None when it is not whole yet."""
        if self._in_data:
            lead = self._buffer.startswith(b".\r\n")
            end = 0 if lead else self._buffer.find(b"\r\n.\r\n")
            if end < 0:
                return None
            content = bytes(self._buffer[: end + 2 * (not lead)]).replace(b"\r\n..", b"\r\n.")
            del self._buffer[: end + (3 if lead else 5)]
            self._in_data = False
            reply = self._asked("DOT", b"250 2.0.0 Ok: queued as S%d\r\n" % self._sinkhole.dots)
            taken = not reply.startswith(b"451")
            self._sinkhole.swallow(self._recipients, content, self._port, taken)
            return reply
        line, found, rest = self._buffer.partition(b"\r\n")
        if not found:
            return None
        self._buffer = rest
        return self._command(line.decode())

    def _command(self, line: str) -> bytes:
        match line[:4].upper():
            case "EHLO":
                return EHLO
            case "MAIL":
                self._recipients = []
                reply = self._asked("MAIL", b"250 2.1.0 Ok\r\n")
                self._begun = not reply.startswith(b"451")
                return reply
            case "RCPT" if self._begun:
                recipient = line[line.index("<") + 1 : line.index(">")]
                if recipient.startswith(REFUSED):
                    return b"550 5.1.1 no such user\r\n"
                self._recipients.append(recipient)
                return b"250 2.1.5 Ok\r\n"
            case "RCPT":
                return b"503 5.5.1 MAIL first\r\n"
            case "DATA":
                if not self._recipients:
                    return b"554 5.5.1 no valid recipients\r\n"
                self._in_data = True
                return self._asked("DATA", b"354 go on\r\n")
            case "QUIT":
                return b"221 2.0.0 bye\r\n"
        return b"250 2.0.0 Ok\r\n"

    def _asked(self, verb: str, ordinary: bytes) -> bytes:
        match self._sinkhole.answers(verb, self._port):
            case "hold":
                transport = self._transport
                self._sinkhole.held.append((self._port, lambda: transport.write(ordinary)))
                return b""
            case "cut":
                self._transport.abort()
                return b""
            case "later":
                self._in_data = False
                return b"451 4.3.0 try later\r\n"
        return ordinary
