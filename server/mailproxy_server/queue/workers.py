"""Who is sending: one row a dispatcher, its heartbeat, and who of them is dead.

A lease belongs to a worker, not to a delivery: a heartbeat touches one row. The clock is the
database's. A worker id is new at each start, so a dead one never comes back.
"""

from dataclasses import dataclass
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


async def beat(link: Connection, worker_id: UUID) -> bool:
    """Renew the lease; False when the worker was declared dead and must not go on.

    Locks the worker's row by its key.
    """
    status = await link.execute(
        "UPDATE mailproxy.workers SET beat_at = clock_timestamp() WHERE worker_id = $1", worker_id
    )
    return status == "UPDATE 1"


async def others(link: Connection, worker_id: UUID) -> list[tuple[Worker, bool]]:
    """Give all other workers, each with whether its lease has run out. Takes no lock."""
    rows = await link.fetch(
        """SELECT worker_id, host, birthplace, pid, pid_birth,
                  beat_at + lease_seconds * interval '1 second' < clock_timestamp() AS expired
           FROM mailproxy.workers WHERE worker_id <> $1""",
        worker_id,
    )
    return [(Worker(*row[:5]), row["expired"]) for row in rows]


async def declare_dead(link: Connection, worker_id: UUID, *, certain: bool) -> bool:
    """Take a worker's row away, so that it can never beat again; False if it is alive after all.

    `certain` skips the look at its lease: its process is known to be gone. Locks the row by
    its key: a beat that comes first wins, and one that comes later finds nothing.
    """
    status = await link.execute(
        """DELETE FROM mailproxy.workers WHERE worker_id = $1
           AND ($2 OR beat_at + lease_seconds * interval '1 second' < clock_timestamp())""",
        worker_id,
        certain,
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
