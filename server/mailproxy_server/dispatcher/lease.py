"""The lease: may this worker still send, and may it judge that another one is dead?

Renewed by a heartbeat in the database. A worker that could not renew it for two thirds of
its time sends no further final dot, because somebody else may soon claim what it holds. The
check uses CLOCK_BOOTTIME, which goes on while a process is stopped or a machine sleeps.

The heartbeat comes first, however busy the process is: it has a thread, an event loop and a
session with the database to itself, so that it waits neither for the dispatcher's loop nor for a
connection of its pool.

Nobody's clock but the observer's own judges a lease, and a lease runs only while the database
takes heartbeats: a worker is dead when its heartbeat stood still for a whole lease in which the
observer's own ones succeeded without a gap. While the database is away nobody can beat, so nobody
is declared dead, and after it came back everybody has a whole lease to be heard again.
"""

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, TypeVar
from uuid import UUID

import asyncpg

from mailproxy_server.dispatcher.clock import boottime
from mailproxy_server.mail.transcript import Fault, FaultKind
from mailproxy_server.queue import workers
from mailproxy_server.queue.sessions import Session, Sessions
from mailproxy_server.queue.unavailable import is_unavailable, unavailable

T = TypeVar("T")


_RETRY_SECONDS = 0.25
"""Between two tries of a heartbeat that the database did not take."""
_UNANSWERED = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)


class LeaseLost(Exception):
    """This worker was declared dead; its process must end and a new one take over."""


def birthplace() -> str:
    """Name this boot and process namespace, within which a pid means something."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"


def pid_birth(pid: int) -> int | None:
    """Give when a process began, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def this_worker(worker_id: UUID) -> workers.Worker:
    """Describe the worker that this process is."""
    pid = os.getpid()
    return workers.Worker(worker_id, socket.gethostname(), birthplace(), pid, pid_birth(pid) or 0)


def process_is_gone(worker: workers.Worker) -> bool:
    """Whether the worker ran here and its process certainly does not exist any more."""
    return worker.birthplace == birthplace() and pid_birth(worker.pid) != worker.pid_birth


class Backlog(NamedTuple):
    """Outcomes that are known and not written: how many, and for how many seconds the oldest."""

    unwritten: int = 0
    seconds: float = 0.0


class Lease:
    """This worker's lease, of `seconds`.

    `sessions` make the heartbeat's own session; `backlog` is told to others with each heartbeat.
    """

    def __init__(
        self,
        sessions: Sessions,
        worker: workers.Worker,
        seconds: float,
        backlog: Callable[[], Backlog] = Backlog,
    ) -> None:
        self.worker = worker
        self.seconds = seconds
        self._sessions = sessions
        self._backlog = backlog
        self._link: Session | None = None
        self._renewed = -seconds
        self._unbroken_since = 0.0
        self._main: asyncio.AbstractEventLoop | None = None
        self._beats: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread: threading.Thread | None = None

    async def begin(self) -> None:
        """Register; from here on the lease holds while it is renewed. Raises `Unavailable`."""
        self._main = asyncio.get_running_loop()
        began: asyncio.Future[None] = self._main.create_future()
        self._lost: asyncio.Future[None] = self._main.create_future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(began)), name="lease", daemon=True
        )
        self._thread.start()
        await began

    async def keep(self) -> None:
        """Wait until cancelled; raise `LeaseLost` when a renewal is refused."""
        await asyncio.shield(self._lost)

    async def end(self) -> None:
        """Give the lease up; what is still claimed is rescued by others."""
        assert self._beats is not None, "it has begun"
        assert self._thread is not None, "it has begun"
        self._renewed = -self.seconds  # no further dot
        with contextlib.suppress(RuntimeError):  # its loop has ended: the lease was lost
            self._beats.call_soon_threadsafe(self._stop.set)
        await asyncio.to_thread(self._thread.join)

    def may_dot(self) -> Fault | None:
        """Say whether a final dot may be sent now: None, or the fault that forbids it."""
        if boottime() - self._renewed < self.seconds * 2 / 3:
            return None
        return Fault(FaultKind.LEASE_LOST, "the lease was not renewed in time; nothing was sent")

    def is_late(self) -> bool:
        """Whether two heartbeats in a row are overdue: no time to begin anything new."""
        return boottime() - self._renewed > self.seconds / 2

    def unbroken_since(self) -> float | None:
        """Give since when (CLOCK_BOOTTIME) each heartbeat succeeded in time; None if none does."""
        return None if self.is_late() else self._unbroken_since

    async def _live(self, began: "asyncio.Future[None]") -> None:
        """What the thread does: register, beat until it shall end, declare itself dead."""
        assert self._main is not None
        self._beats, self._stop = asyncio.get_running_loop(), asyncio.Event()
        try:
            asked = boottime()
            await self._ask(lambda link: workers.register(link, self.worker, self.seconds))
            self._renewed = self._unbroken_since = asked
            self._main.call_soon_threadsafe(_resolve, began, None)
            await self._beat_until_stopped()
            await self._ask(lambda link: workers.declare_dead(link, self.worker.worker_id, None))
        except Exception as error:  # told to who waits, whatever it is
            told = unavailable(error) if is_unavailable(error) else error
            self._renewed = -self.seconds  # no further dot
            for future in (began, self._lost):
                self._main.call_soon_threadsafe(_resolve, future, told)
        finally:
            if self._link is not None:
                self._link.terminate()

    async def _beat_until_stopped(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._until_next()):
                    await self._stop.wait()
            if self._stop.is_set():
                return
            asked = boottime()
            try:
                known = await self._ask(
                    lambda link: workers.beat(link, self.worker.worker_id, *self._backlog())
                )
            except (*_UNANSWERED, asyncpg.PostgresError):
                await asyncio.sleep(min(_RETRY_SECONDS, self.seconds / 8))
                continue  # may_dot() says when this has gone on for too long
            if not known:
                raise LeaseLost("declared dead by another dispatcher")
            if boottime() - self._renewed > self.seconds / 2:  # it was not renewed all the time
                self._unbroken_since = boottime()
            if not self._stop.is_set():
                self._renewed = asked

    def _until_next(self) -> float:
        return max(0.0, self._renewed + self.seconds / 4 - boottime())

    async def _ask(self, ask: Callable[[Session], Awaitable[T]]) -> T:
        """Ask by the heartbeat's session; one that does not answer is given up."""
        try:
            async with asyncio.timeout(self.seconds * 2 / 3):
                if self._link is None or self._link.is_closed():
                    self._link = await self._sessions.connect("mailproxy lease")
                return await ask(self._link)
        except BaseException:
            if self._link is not None:
                self._link.terminate()
                self._link = None
            raise


class Deaths:
    """Tells which of the other workers are dead, by what this one sees of their heartbeats.

    A heartbeat is only compared with what was seen of it before, never with a clock.
    """

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self._seen: dict[UUID, tuple[datetime, float]] = {}

    def judge(self, others: Sequence[workers.Seen]) -> list[workers.Seen]:
        """Give those whose process is gone, or whose heartbeat stood still for their lease."""
        silent = self.silent(others, boottime(), self._lease.unbroken_since())
        return [each for each in others if each in silent or process_is_gone(each.worker)]

    def silent(
        self, others: Sequence[workers.Seen], now: float, since: float | None
    ) -> list[workers.Seen]:
        """Give those whose heartbeat stood still for a whole lease of theirs in which we looked and
        our own succeeded: those have without a gap `since` then, None when they do not."""
        before, self._seen = self._seen, {}
        found = []
        for each in others:
            beat_at, first = before.get(each.worker.worker_id, (None, now))
            first = first if beat_at == each.beat_at else now
            self._seen[each.worker.worker_id] = each.beat_at, first
            if since is not None and now - max(first, since) >= each.lease_seconds:
                found.append(each)
        return found


def _resolve(future: "asyncio.Future[None]", error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
        future.exception()  # who does not wait for it need not be told
