"""The bytes of an open SMTP connection: writes commands, counts the replies owed, waits for them.

Put on a transport by `Wire(transport)`, also on one that another protocol has set up. Knows
nothing of what commands mean. Once `fault` is set the connection is dead and stays so. A
reply that nobody is owed is kept in `stray` and kills the connection.
"""

import asyncio
from collections import deque
from typing import NamedTuple

from mailproxy_server.mail.transcript import Fault, FaultKind, Reply
from mailproxy_server.smtp.faults import describe
from mailproxy_server.smtp.replies import ReplyReader

BLOCK = 64 * 1024
"""Octets written at once while a large content is streamed."""


class Answer(NamedTuple):
    """What came, and when by the loop's clock."""

    at: float
    what: Reply | Fault


class Wire(asyncio.Protocol):
    """The protocol of a connection between greeting and QUIT."""

    def __init__(self, transport: asyncio.Transport):
        self._loop = asyncio.get_running_loop()
        self.transport = transport
        self.fault: Fault | None = None
        self.stray: Reply | None = None
        self.leaving = False
        """The relay said 421: it will close the connection (section 3.8)."""
        self._reader = ReplyReader()
        self._answers: deque[Answer] = deque()
        self._owed = 0
        self._wanted = 0
        self._paused = False
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._progress = 0.0
        # So that `pour` ends only when nothing is left; with 0, asyncio's TLS never resumes.
        transport.set_write_buffer_limits(high=1)
        transport.set_protocol(self)

    @property
    def quiet(self) -> bool:
        """Whether the connection stands, every reply was taken, and not a byte came unasked."""
        return (
            self.fault is None
            and not self.leaving
            and not self._owed
            and not self._answers
            and not self._reader.inside
            and not self.transport.is_closing()
        )

    def now(self) -> float:
        """Give the clock that answers are timed by, in seconds."""
        return self._loop.time()

    def write(self, octets: bytes, replies: int = 1) -> None:
        """Send; the relay then owes this many replies more."""
        if self.fault is None:
            self._owed += replies
            self.transport.write(octets)

    async def answers(self, count: int, limit: float) -> list[Answer]:
        """Give the next `count` answers; where a fault comes first, it is the last of fewer.

        `limit` is in seconds, for each reply from the one before it.
        """
        if len(self._answers) < count and self.fault is None:
            self._wanted = count
            await self._wait(limit)
        taken = [self._answers.popleft() for _ in range(min(count, len(self._answers)))]
        if len(taken) < count:
            fault = self.fault or Fault(FaultKind.CLOSED)
            taken.append(Answer(self._loop.time(), fault))
        return taken

    async def answer(self, limit: float) -> Answer:
        """Give the next answer."""
        return (await self.answers(1, limit))[0]

    async def pour(self, octets: bytes, limit: float) -> None:
        """Write content, `limit` seconds a block, until the system has it all or `fault` is set."""
        view = memoryview(octets)
        for start in range(0, len(view), BLOCK):
            if self.fault is not None:
                return
            self.transport.write(view[start : start + BLOCK])
            if self._paused:
                self._wanted = 0
                await self._wait(limit)

    def fail(self, fault: Fault) -> None:
        """Give the connection up at once: nothing that is still unsent leaves."""
        if self.fault is None:
            self.fault = fault
        self.transport.abort()
        self._wake()

    def data_received(self, data: bytes) -> None:
        """Count the replies."""
        now = self._loop.time()
        for what in self._reader.feed(data):
            if isinstance(what, Fault):
                return self.fail(what)
            if not self._owed:
                return self._unasked(what)
            self._owed -= 1
            self._progress = now
            self.leaving = self.leaving or what.code == 421
            self._answers.append(Answer(now, what))
        if 0 < self._wanted <= len(self._answers):
            self._wake()
        return None

    def eof_received(self) -> None:
        """Half-closed is closed, to SMTP."""
        self._lost("the relay closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        """Wake who waits."""
        self._lost(describe(exc) if exc else "the connection was closed")

    def pause_writing(self) -> None:
        """The system takes no more just now."""
        self._paused = True

    def resume_writing(self) -> None:
        """The system took all that was written."""
        self._paused = False
        if not self._wanted:
            self._wake()

    def _unasked(self, reply: Reply) -> None:
        self.stray = reply
        self.fail(Fault(FaultKind.PROTOCOL, f"an answer out of turn: {reply.code}"))

    def _lost(self, detail: str) -> None:
        if self.fault is None:
            self.fault = Fault(FaultKind.CLOSED, detail)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, limit: float) -> None:
        self._progress = self._loop.time()
        self._waiter = self._loop.create_future()
        self._timer = self._loop.call_later(limit, self._overdue, limit)
        try:
            await self._waiter
        finally:
            self._timer.cancel()
            self._waiter = None
            self._wanted = 0

    def _overdue(self, limit: float) -> None:
        """Fail, unless a reply came since: then the next one has its own time."""
        left = self._progress + limit - self._loop.time()
        if left > 0.001:
            self._timer = self._loop.call_later(left, self._overdue, limit)
        else:
            self.fail(Fault(FaultKind.TIMEOUT, f"no answer within {limit:g} s"))
