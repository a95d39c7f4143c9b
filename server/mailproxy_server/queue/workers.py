"""Who is sending: one row a dispatcher, its heartbeat, and who of them is dead.

A lease belongs to a worker, not to a delivery: a heartbeat touches one row. `beat_at` tells one
heartbeat from another; who judges by it how long it stood still does so by a clock of its own
(dispatcher/lease.py). A worker id is new at each start, so a dead one never comes back.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from mailproxy_server.queue.hot import Connection


@dataclass(frozen=True, slots=True)
class Worker:
    """A dispatcher: its id, and where and as what process it runs.

    `birthplace` names the boot and the process namespace; `pid` and `pid_birth` mean
    something only to who shares it.
    """

    worker_id: UUID
    host: str
    birthplace: str
    pid: int
    pid_birth: int


class Seen(NamedTuple):
    """A worker as another one sees it: its last heartbeat, and how long its lease is."""

    worker: Worker
    beat_at: datetime
    lease_seconds: float


async def register(link: Connection, worker: Worker, lease_seconds: float) -> None:
    """Make the worker known and alive."""
    await link.execute(
        """INSERT INTO mailproxy.workers
               (worker_id, host, birthplace, pid, pid_birth, lease_seconds)
           VALUES ($1, $2, $3, $4, $5, $6)""",
        worker.worker_id,
        worker.host,
        worker.birthplace,
        worker.pid,
        worker.pid_birth,
        lease_seconds,
    )


async def beat(
    link: Connection, worker_id: UUID, unwritten: int = 0, unwritten_seconds: float = 0.0
) -> bool:
    """Renew the lease; False when the worker was declared dead and must not go on.

    `unwritten` outcomes are known to the worker and not in the database, the oldest for so many
    seconds: for who looks from beside. Locks the worker's row by its key.
    """
    status = await link.execute(
        """UPDATE mailproxy.workers
           SET beat_at = clock_timestamp(), unwritten = $2, unwritten_seconds = $3
           WHERE worker_id = $1""",
        worker_id,
        unwritten,
        unwritten_seconds,
    )
    return status == "UPDATE 1"


async def others(link: Connection, worker_id: UUID) -> list[Seen]:
    """Give all other workers, each with its last heartbeat. Takes no lock."""
    rows = await link.fetch(
        """SELECT worker_id, host, birthplace, pid, pid_birth, beat_at, lease_seconds
           FROM mailproxy.workers WHERE worker_id <> $1""",
        worker_id,
    )
    return [Seen(Worker(*row[:5]), row["beat_at"], row["lease_seconds"]) for row in rows]


async def declare_dead(link: Connection, worker_id: UUID, beat_at: datetime | None) -> bool:
    """Take a worker's row away, so that it can never beat again; False if it is alive after all.

    `beat_at` is the heartbeat that stood still: one that came meanwhile saves the worker. None
    when it is known to be gone. Locks the row by its key: a beat that comes first wins, and one
    that comes later finds nothing.
    """
    status = await link.execute(
        """DELETE FROM mailproxy.workers
           WHERE worker_id = $1 AND beat_at = coalesce($2, beat_at)""",
        worker_id,
        beat_at,
    )
    return status == "DELETE 1"


async def orphaned(link: Connection) -> list[UUID]:
    """Give the ids under which deliveries are claimed although no such worker exists.

    Takes no lock; walks deliveries_claimed from id to id.
    """
    rows = await link.fetch(
        """WITH RECURSIVE claimer AS (
               (SELECT worker_id FROM mailproxy.deliveries WHERE worker_id IS NOT NULL
                ORDER BY worker_id LIMIT 1)
               UNION ALL
               SELECT (SELECT d.worker_id FROM mailproxy.deliveries d
                       WHERE d.worker_id > claimer.worker_id ORDER BY d.worker_id LIMIT 1)
               FROM claimer WHERE claimer.worker_id IS NOT NULL)
           SELECT worker_id FROM claimer WHERE worker_id IS NOT NULL
             AND worker_id NOT IN (SELECT worker_id FROM mailproxy.workers)"""
    )
    return [row["worker_id"] for row in rows]
