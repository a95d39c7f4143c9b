"""Every sequence of CR, LF, dot and a letter up to length 7, through the pool to a server that
reads to the byte: one message each, the bytes that it must be, and no command that was not meant.

Raw messages with a bare CR or LF are refused long before; the wire must be right all the same.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from itertools import product

import pytest
from mailproxy_server.mail.envelope import Envelope
from mailproxy_server.smtp.pool import Pool
from mailproxy_server.smtp.relay import Relay, Tls

from tests.smtp.speaking import Permit

LENGTH = 7
ALPHABET = (b"\r", b"\n", b".", b"x")


def sequences() -> Iterator[bytes]:
    for length in range(LENGTH + 1):
        for pieces in product(ALPHABET, repeat=length):
            yield b"".join(pieces)


class Exact(asyncio.Protocol):
    """An SMTP server to whom CRLF alone ends a line, and CRLF.CRLF alone a message."""

    def __init__(self, commands: list[bytes], messages: list[bytes]) -> None:
        self._commands = commands
        self._messages = messages
        self._lines: list[bytes] | None = None
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._transport.write(b"220 exact\r\n")

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            self._line(line)

    def _line(self, line: bytes) -> None:
        if self._lines is None:
            self._commands.append(line[:4])
            self._lines = [] if line == b"DATA" else None
            ehlo = b"250-exact\r\n250 PIPELINING\r\n" if line[:4] == b"EHLO" else b"250 ok\r\n"
            self._transport.write(b"354 go\r\n" if line == b"DATA" else ehlo)
        elif line == b".":
            self._messages.append(b"".join(each + b"\r\n" for each in self._lines))
            self._lines = None
            self._transport.write(b"250 taken\r\n")
        else:
            self._lines.append(line[1:] if line.startswith(b".") else line)


def expected(content: bytes) -> bytes:
    """A dot after a bare LF is doubled, since some servers end a message there; all else stays."""
    lines = content.split(b"\r\n")
    if lines[-1] == b"" and len(lines) > 1:
        lines.pop()
    elif content == b"":
        return b""
    return b"".join(line.replace(b"\n.", b"\n..") + b"\r\n" for line in lines)


class Pieces:
    """A body that comes in pieces cut at random."""

    def __init__(self, content: bytes, chance: random.Random) -> None:
        self._content = content if content.endswith(b"\r\n") else content + b"\r\n"
        self._chance = chance
        self.size = len(self._content)

    async def blocks(self) -> AsyncIterator[bytes]:
        rest = self._content
        while rest:
            cut = self._chance.randint(1, len(rest))
            yield rest[:cut]
            rest = rest[cut:]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("streamed", [False, True])
async def test_one_message_each_and_the_bytes_it_must_be(streamed: bool) -> None:
    commands: list[bytes] = []
    messages: list[bytes] = []
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Exact(commands, messages), "127.0.0.1", 0)
    pool = Pool(Relay("127.0.0.1", server.sockets[0].getsockname()[1], Tls.NONE))
    envelope, chance = Envelope("a@a.test", ("b@b.test",)), random.Random(7)
    count = 0
    for content in sequences():
        if streamed and not content:
            continue  # a body has a line end at least
        body = Pieces(content, chance) if streamed else content
        await pool.send(
            envelope, body, eight_bit=False, utf8_headers=False, envelope_id="", permit=Permit()
        )
        count += 1
        assert len(messages) == count, content
        assert messages[-1] == expected(content), content
    await pool.close()
    server.close()
    assert count == sum(4**length for length in range(LENGTH + 1)) - streamed
    assert commands == [b"EHLO", *[b"MAIL", b"RCPT", b"DATA"] * count, b"QUIT"]
