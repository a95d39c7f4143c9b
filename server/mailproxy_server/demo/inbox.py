"""A relay on this machine that keeps what it gets: for `serve --demo` and for tests.

aiosmtpd on the running loop, with PIPELINING. Some recipients at demo.test misbehave, each
a known way:

- 451-twice@: refused with 451 at RCPT twice, then accepted (counted by sender and recipient);
- 550@: refused with 550 5.1.1 at RCPT;
- slow-10s@: the reply to the final dot takes 10 seconds;
- cut-after-dot@: the connection is cut after the final dot without a reply; the next attempt
  of that message is accepted. The first one is kept too, as a real relay might have done.

It keeps the last messages only, and delivers nothing anywhere.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesHeaderParser
from typing import Any, cast

from aiosmtpd.smtp import SMTP

DOMAIN = "demo.test"
KEPT = 1000
"""Messages that are kept; the oldest go first."""
SLOW_SECONDS = 10.0
SIZE = 32 * 1024 * 1024
"""Octets of a message, as EHLO says."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that arrived; `octets` has CRLF line ends and no stuffed dots."""

    mail_from: str
    rcpt_to: tuple[str, ...]
    octets: bytes
    received_at: datetime


class Inbox:
    """Listens while started. `on_message` is called with each message as it is kept."""

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 1025,
        *,
        on_message: Callable[[Received], None] | None = None,
        slow_seconds: float = SLOW_SECONDS,
    ):
        self.host = host
        self.port = port
        self.messages: deque[Received] = deque(maxlen=KEPT)
        self.slow_seconds = slow_seconds
        self._on_message = on_message
        self._server: asyncio.Server | None = None
        self._dialogues: set[_Dialogue] = set()
        self._refused: Counter[tuple[str, str]] = Counter()
        self._cut: deque[str] = deque(maxlen=KEPT)

    async def start(self) -> None:
        """Listen; OSError when the port is taken. Port 0 takes a free one and says which."""
        logging.getLogger("mail.log").setLevel(logging.WARNING)  # the library tells every command
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Dialogue(self),
            self.host,
            self.port,
            reuse_port=True,  # a supervisor holds the port for us
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for dialogue in tuple(self._dialogues):
            await dialogue.leave()

    def joined(self, dialogue: "_Dialogue") -> None:
        """Remember an open connection."""
        self._dialogues.add(dialogue)

    def left(self, dialogue: "_Dialogue") -> None:
        """Forget one."""
        self._dialogues.discard(dialogue)

    def keep(self, received: Received) -> None:
        """Keep a message."""
        self.messages.append(received)
        if self._on_message is not None:
            self._on_message(received)

    def refusal(self, mail_from: str, recipient: str) -> str | None:
        """Give the reply that refuses this recipient this time, if any."""
        if recipient == f"550@{DOMAIN}":
            return "550 5.1.1 no such mailbox here"
        if recipient == f"451-twice@{DOMAIN}":
            key = (mail_from, recipient)
            self._refused[key] += 1
            if self._refused[key] <= 2:
                return "451 4.2.1 try again in a moment"
            del self._refused[key]
        return None

    def cuts(self, received: Received) -> bool:
        """Whether the connection is to be cut without a reply to this message."""
        if f"cut-after-dot@{DOMAIN}" not in received.rcpt_to:
            return False
        headers = BytesHeaderParser().parsebytes(received.octets)
        name = str(headers["X-Mailproxy-Id"] or headers["Message-ID"] or received.mail_from)
        if name in self._cut:
            self._cut.remove(name)
            return False
        self._cut.append(name)
        return True


class _Hooks:
    """aiosmtpd's calls, for one inbox."""

    def __init__(self, inbox: Inbox):
        self._inbox = inbox

    async def handle_EHLO(  # noqa: N802 - the library finds hooks by name
        self, server: Any, session: Any, envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        """RFC 2920: the server reads from a stream and never drops what came early."""
        session.host_name = hostname
        responses.insert(1, "250-PIPELINING")
        responses.insert(2, "250-ENHANCEDSTATUSCODES")
        return responses

    async def handle_RCPT(  # noqa: N802 - the library finds hooks by name
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        """Refuse whom the inbox refuses."""
        refusal = self._inbox.refusal(envelope.mail_from, address)
        if refusal is None:
            envelope.rcpt_tos.append(address)
        return refusal or "250 2.1.5 Ok"

    async def handle_DATA(  # noqa: N802 - the library finds hooks by name
        self, server: "_Dialogue", session: Any, envelope: Any
    ) -> str:
        """Keep the message, and answer as its recipients want it."""
        received = Received(
            "" if envelope.mail_from == "<>" else envelope.mail_from,
            tuple(envelope.rcpt_tos),
            bytes(envelope.original_content or b""),
            datetime.now(UTC),
        )
        self._inbox.keep(received)
        if self._inbox.cuts(received):
            await server.cut()
        elif f"slow-10s@{DOMAIN}" in received.rcpt_to:
            await asyncio.sleep(self._inbox.slow_seconds)
        return f"250 2.0.0 Ok: queued as demo-{id(received):x}"


class _Dialogue(SMTP):
    """One connection."""

    def __init__(self, inbox: Inbox):
        super().__init__(
            _Hooks(inbox),
            data_size_limit=SIZE,
            enable_SMTPUTF8=True,
            hostname="inbox.demo.test",
            ident="gRPC Mail Proxy demo inbox",
            loop=asyncio.get_running_loop(),
        )
        self._inbox = inbox

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Join the inbox."""
        super().connection_made(transport)
        self._inbox.joined(self)

    def connection_lost(self, error: Exception | None) -> None:
        """Leave it."""
        super().connection_lost(error)
        self._inbox.left(self)

    async def cut(self) -> None:
        """Close hard; never returns, since the library ends this task with its connection."""
        self._abort()
        await asyncio.get_running_loop().create_future()

    async def leave(self) -> None:
        """Close hard, and wait until the connection's task has ended."""
        self._abort()
        if self._handler_coroutine is not None:
            await asyncio.wait([self._handler_coroutine])

    def _abort(self) -> None:
        if self.transport is not None:
            cast(asyncio.Transport, self.transport).abort()
