"""A relay that does what its script says, and remembers every command and message to the byte.

    async with ScriptedRelay({"RCPT": "550 5.1.1 no such user"}) as relay:
        ...connect to relay.host, relay.port...
        await relay.until(lambda: relay.messages, "a message arrived")
        assert relay.verbs() == ["EHLO", "MAIL", "RCPT", ...]

A script maps a verb (CONNECT EHLO STARTTLS AUTH MAIL RCPT DATA BODY DOT RSET NOOP QUIT) to a
turn: a reply such as "451 4.3.0 try later" (lines joined by newlines), a `Say` (waits for
an event, drips, adds bytes, cuts), SILENCE, CUT, a function of the command (`Seen`) that
gives one of these or None for the ordinary answer, or a list of turns (one each time, over
all connections; the last repeats). BODY is played at the first octets after a 354. What the
script leaves out is answered as an ordinary relay does: it refuses RCPT before MAIL, a
nested MAIL, and DATA with no recipient accepted. The mapping is looked at anew each
time, so a test may change it as it goes.
"""

import asyncio
import ssl
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.support.relay_dialogue import Dialogue
from tests.support.relay_script import CUT, SILENCE, Player, Received, Say, Script, Seen

__all__ = ["CUT", "SILENCE", "Received", "Say", "ScriptedRelay", "Seen"]

PLAIN = ("PIPELINING", "SIZE 33554432", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")
"""What EHLO offers unless a test says otherwise. With TLS or AUTH, STARTTLS and AUTH too."""


class ScriptedRelay:
    """Listens on a loopback port of its own, or on the one given.

    `tls`: a server context; offers STARTTLS, or speaks TLS at once with `implicit`.
    `credentials`: user and password of AUTH PLAIN and LOGIN (CRAM-MD5 where a script offers it);
    `tokens`: the access tokens that XOAUTH2 takes, of any user. Offered only when given.
    """

    def __init__(
        self,
        script: Script | None = None,
        *,
        extensions: tuple[str, ...] = PLAIN,
        tls: ssl.SSLContext | None = None,
        implicit: bool = False,
        credentials: tuple[str, str] | None = None,
        tokens: set[str] | None = None,
        port: int = 0,
    ):
        self.host = "127.0.0.1"
        self.port = port
        self.extensions = extensions
        self.tls = tls
        self.implicit = implicit
        self.credentials = credentials
        self.tokens = tokens
        self.player = Player(script if script is not None else {})
        self.commands: list[Seen] = []
        self.messages: list[Received] = []
        self.opened = 0
        self.peak = 0
        """The most connections that were open at a time."""
        self._changed = asyncio.Event()
        self._dialogues: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._server: asyncio.Server | None = None

    @property
    def open(self) -> int:
        """Connections open now."""
        return len(self._dialogues)

    def verbs(self) -> list[str]:
        """Give the verbs of all commands, in order."""
        return [seen.verb for seen in self.commands]

    def lines(self, verb: str) -> list[str]:
        """Give the lines of this verb, in order."""
        return [seen.line for seen in self.commands if seen.verb == verb]

    async def until(
        self, condition: Callable[[], object], what: str, *, seconds: float = 10
    ) -> None:
        """Wait until the condition is true; fails, naming `what`, past the deadline."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(f"not within {seconds} s: {what}") from None

    def note(self, kept: Seen | Received) -> None:
        """Keep a command or a message, and wake who waits."""
        if isinstance(kept, Seen):
            self.commands.append(kept)
        else:
            self.messages.append(kept)
        self._changed.set()

    def cut_all(self) -> None:
        """Cut every open connection hard."""
        for writer in list(self._dialogues.values()):
            writer.transport.abort()

    async def start(self) -> None:
        """Listen; after `stop`, on the same port again."""
        self._server = await asyncio.start_server(
            self._accept, self.host, self.port, ssl=self.tls if self.implicit else None
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut_all()
        tasks = list(self._dialogues)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._dialogues[task] = writer
        self.opened += 1
        self.peak = max(self.peak, self.open)
        self._changed.set()
        try:
            await Dialogue(self, self.opened, reader, writer).run()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # the client left, or the test is over
        finally:
            writer.transport.abort()
            del self._dialogues[task]
            self._changed.set()
