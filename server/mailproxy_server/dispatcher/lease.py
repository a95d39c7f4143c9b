"""The lease: may this worker still send?

Renewed by a heartbeat in the database. A worker that could not renew it for two thirds of
its time sends no further final dot, because somebody else may soon claim what it holds. The
check uses CLOCK_BOOTTIME, which goes on while a process is stopped or a machine sleeps.
"""

import asyncio
import os
import socket
import time
from pathlib import Path
from uuid import UUID

import asyncpg

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.mail.transcript import Fault, FaultKind
from mailproxy_server.queue import workers
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed


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


class Lease:
    """This worker's lease."""

    def __init__(self, pool: Pool, worker: workers.Worker, seconds: float) -> None:
        self.worker = worker
        self.seconds = seconds
        self._pool = pool
        self._renewed = -seconds

    async def begin(self) -> None:
        """Register; from here on the lease holds while it is renewed."""
        asked = _boottime()
        async with borrowed(self._pool) as link:
            await workers.register(link, self.worker, self.seconds)
        self._renewed = asked

    async def keep(self) -> None:
        """Renew until cancelled; raise `LeaseLost` when that is refused."""
        while True:
            await asyncio.sleep(self.seconds / 4)
            asked = _boottime()
            try:
                async with asyncio.timeout(self.seconds / 4), borrowed(self._pool) as link:
                    if not await workers.beat(link, self.worker.worker_id):
                        self._renewed = -self.seconds  # no further dot
                        raise LeaseLost("declared dead by another dispatcher")
            except (Unavailable, asyncpg.PostgresError, TimeoutError):
                continue  # may_dot() says when this has gone on for too long
            self._renewed = asked

    async def end(self) -> None:
        """Give the lease up; what is still claimed is rescued by others."""
        async with borrowed(self._pool) as link:
            await workers.declare_dead(link, self.worker.worker_id, certain=True)

    def may_dot(self) -> Fault | None:
        """Say whether a final dot may be sent now: None, or the fault that forbids it."""
        if _boottime() - self._renewed < self.seconds * 2 / 3:
            return None
        return Fault(FaultKind.LEASE_LOST, "the lease was not renewed in time; nothing was sent")


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
