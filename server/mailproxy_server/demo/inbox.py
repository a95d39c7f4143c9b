"""An inbox that takes every mail and keeps it: for the demo, and for trying things out.

Some recipients at demo.test behave as relays do: `451-twice@` is refused for a while twice,
`550@` for good; `slow-10s@` is accepted after 10 seconds; `cut-after-dot@` loses the
connection after the final dot, the first time, without a reply. What follows a "+" in the
local part is ignored, so that a test can have its own.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from typing import Any

from aiosmtpd.smtp import SMTP

MAGIC_DOMAIN = "demo.test"
KEPT = 20_000
"""Mails that are kept; the oldest go first."""
SIZE_LIMIT = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Received:
    """A mail as it came: the envelope, and the octets of the content with CRLF line ends."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    octets: bytes
    received_at: datetime

    def header(self, name: str) -> str:
        """Give a header field's value, or "" when there is none."""
        return str(BytesHeaderParser().parsebytes(self.octets).get(name, ""))


class Inbox:
    """Listens from `start` to `stop`. Port 0 takes a free one; `port` is the real one."""

    def __init__(
        self, host: str, port: int, on_message: Callable[[Received], object] = lambda _: None
    ) -> None:
        self.host = host
        self.port = port
        self.messages: deque[Received] = deque(maxlen=KEPT)
        self._on_message = on_message
        self._attempts: Counter[tuple[str, str]] = Counter()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True, loop=loop),
            self.host,
            self.port,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()

    async def handle_EHLO(  # noqa: N802 - names that aiosmtpd calls
        self, server: SMTP, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """Offer PIPELINING as well: commands are read one by one, however they came."""
        session.host_name = hostname
        return [*responses[:-1], "250-PIPELINING", responses[-1]]

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any, address: str, rcpt_options: list[str]
    ) -> str:
        """Accept a recipient, unless it is one of the magic ones."""
        magic = _magic(address)
        if magic == "550":
            return "550 5.1.1 no such user here"
        if magic == "451-twice" and self._attempt(envelope.mail_from, address) < 2:
            return "451 4.2.1 mailbox busy, try again later"
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(rcpt_options)
        return "250 2.1.5 ok"

    async def handle_DATA(  # noqa: N802
        self, server: SMTP, session: Any, envelope: Any
    ) -> str:
        """Keep a mail."""
        received = Received(
            envelope.mail_from, tuple(envelope.rcpt_tos), envelope.content, datetime.now(UTC)
        )
        magic = {_magic(address) for address in received.rcpt_to}
        if "slow-10s" in magic:
            await asyncio.sleep(10)
        self.messages.append(received)
        self._on_message(received)
        name = received.header("X-Mailproxy-Id") or received.header("Message-ID")
        if "cut-after-dot" in magic and self._attempt("dot", name) == 0:
            server.transport.abort()  # type: ignore[union-attr]  # it is connected
        return f"250 2.0.0 ok, kept as {len(self.messages)}"

    def _attempt(self, sender: str, name: str) -> int:
        """Give how often this was tried before."""
        self._attempts[sender, name] += 1
        return self._attempts[sender, name] - 1


def _magic(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return local.partition("+")[0] if domain.lower() == MAGIC_DOMAIN else ""
