"""Gathers settlements and writes them together; an outcome that is known is never thrown away.

Flushes after a gathering time or a full batch, whichever is first: that time bounds the window in
which a crash sends a message twice. What the database does not take, whatever its state, is kept
and tried until it is written: the mail was sent, and only we know it. Meanwhile lanes claim nothing
new (`blocked`). Only what the database says of the data itself (SQLSTATE classes 22 and 23) has it
written with less: without the relay's reply, without the dialogue, without any text. What is
refused even so ends the process with its reason, rather than be held by it for ever.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from uuid import UUID

import asyncpg

from mailproxy_server.dispatcher.lease import Backlog
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.mail.transcript import Fault, FaultKind
from mailproxy_server.queue import days
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.settle import Settlement, settle
from mailproxy_server.queue.unavailable import sqlstate_of

BATCH = 100
REMEMBERED_MOST = 20_000
"""Outcomes that are kept while they cannot be written; no final dot is sent beyond them."""
_RETRY_SECONDS = 0.5
_DATA = ("22", "23")

Settled = Callable[[Sequence[Settlement], int], None]
"""Told after each commit: the batch, and how many of it had lost their lease."""
Bug = Callable[[UUID, Exception], None]
"""Told of a message whose settlement the database does not take as it is."""
Blocked = Callable[[Backlog, Exception | None], None]
"""Told when outcomes cannot be written, and why, at once and again and again; and with None when
they are written again."""


class Unsettleable(Exception):
    """An outcome that the database refuses in every form."""


class Settler:
    """Writes outcomes of one worker; `failed` ends with what can never be written."""

    def __init__(
        self,
        pool: Pool,
        worker_id: UUID,
        settled: Settled,
        bug: Bug,
        gather_seconds: float,
        blocked: Blocked = lambda *_: None,
        failed: "asyncio.Future[None] | None" = None,
    ) -> None:
        self._pool = pool
        self._worker_id = worker_id
        self._settled = settled
        self._bug = bug
        self._gather_seconds = gather_seconds
        self._told_blocked = blocked
        self._failed = failed
        self._waiting: list[Settlement] = []
        self._writing = 0
        self._since = 0.0
        self._full = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.blocked = False
        """Whether the database did not take the last settlements that it was given."""

    def add(self, settlements: Sequence[Settlement]) -> None:
        """Take settlements to be written soon."""
        if not self._waiting and not self._writing:
            self._since = time.monotonic()
        self._waiting.extend(settlements)
        if len(self._waiting) >= BATCH:
            self._full.set()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._write_all(), name="settler")

    def backlog(self) -> Backlog:
        """Give what is known and not written. May be called from another thread."""
        count = len(self._waiting) + self._writing
        return Backlog(count, time.monotonic() - self._since if count else 0.0)

    def may_dot(self) -> Fault | None:
        """Say whether the outcome of one more dot can be remembered: None, or why not."""
        if not self.blocked or len(self._waiting) < REMEMBERED_MOST:
            return None
        return Fault(FaultKind.LEASE_LOST, "outcomes cannot be written; nothing was sent")

    async def flush(self) -> None:
        """Return once everything that was added is written."""
        while self._task is not None and not self._task.done():
            self._full.set()
            await asyncio.wait([self._task])

    async def _write_all(self) -> None:
        while self._waiting:
            if len(self._waiting) < BATCH:
                await self._gather()
            self._full.clear()
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            self._writing = len(batch)
            try:
                await self._write(batch)
            except Exception as never:  # Unsettleable, or a bug: rows must not be held by silence
                if self._failed is None or self._failed.done():
                    raise
                self._failed.set_exception(never)
                return
            self._writing = 0
            self._since = time.monotonic()

    async def _gather(self) -> None:
        try:
            async with asyncio.timeout(self._gather_seconds):
                await self._full.wait()
        except TimeoutError:
            pass  # the usual end: the gathering time is over

    async def _write(self, batch: list[Settlement]) -> None:
        """Write a batch, however long that takes; one by one when some of its data is refused."""
        try:
            held = await self._tried(batch)
        except (asyncpg.PostgresError, ValueError) as error:
            if len(batch) == 1:
                held = await self._with_less(batch[0], error)
            else:
                for one in batch:
                    await self._write([one])
                return
        self._settled(batch, len(batch) - held)

    async def _with_less(self, one: Settlement, error: Exception) -> int:
        """Write one settlement without what may be at fault; raises Unsettleable."""
        self._bug(one.claimed.message_id, error)
        for bare in _barer(one):
            try:
                return await self._tried([bare])
            except (asyncpg.PostgresError, ValueError) as still:
                error = still
        raise Unsettleable(f"an outcome of message {one.claimed.message_id} is refused: {error}")

    async def _tried(self, batch: list[Settlement]) -> int:
        """Write until the database has taken it; give how many of it were ours. Raises what the
        database, or its driver, has against the data."""
        while True:
            try:
                async with borrowed(self._pool) as link:
                    held = await settle(link, self._worker_id, batch)
            except (Unavailable, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                if _is_of_the_data(error):
                    raise
                self.blocked = True
                self._told_blocked(self.backlog(), error)
                if _is_missing_day(error):  # the database's clock was set far ahead
                    with contextlib.suppress(Unavailable, asyncpg.PostgresError):
                        await days.make(self._pool)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if self.blocked:
                self.blocked = False
                self._told_blocked(self.backlog(), None)
            return len(held)


def _is_of_the_data(error: BaseException) -> bool:
    """Whether this data would be refused in any state of the database."""
    if isinstance(error, ValueError):  # the driver could not encode it
        return True
    return sqlstate_of(error).startswith(_DATA) and not _is_missing_day(error)


def _is_missing_day(error: BaseException) -> bool:
    """Whether the log has no partition for today; that is told as a check without a name."""
    return isinstance(error, asyncpg.CheckViolationError) and error.constraint_name is None


def _barer(one: Settlement) -> Iterator[Settlement]:
    """Give a settlement with ever less of what was said beside the outcome itself."""
    outcome = replace(one.outcome, reply=None)
    if outcome != one.outcome:
        yield one._replace(outcome=outcome)
    if one.transcript is not None:
        yield one._replace(outcome=outcome, transcript=None)
    outcome = replace(outcome, detail="", relay_message_id="")
    yield one._replace(outcome=outcome, transcript=None)
