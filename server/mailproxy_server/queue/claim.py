"""Claiming what is due: which deliveries this worker may send now, and nobody else.

Owns the UPDATE that hands a delivery to a worker, the fenced release that hands it back, and
the take-over of what a dead worker held. A claim raises `claim_no`, the fence that every
later write to the row names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.lowwater import PRIORITIES


class Claimed(NamedTuple):
    """A delivery that this worker holds.

    `attempts` counts those that ended before in this round, which began at `round_at` (None:
    with the submission); `spared` those beside them that were not counted. `marked`: it is to
    be sent at most once and its final dot may have left. `claimed_at` is when it was last claimed
    to be sent, by this claim or, after a take-over, by one before; None where it never was.
    """

    tenant_id: UUID
    message_id: UUID
    recipient_no: int
    account_id: str
    recipient: str
    priority: int
    due_at: datetime
    attempts: int
    claim_no: int
    doubtful: bool
    cancel_requested: bool
    marked: bool
    spared: int
    expire_at: datetime | None
    round_at: datetime | None
    claimed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Claim:
    """The rows of one claim, in the order they are to be sent, and the database's time."""

    rows: list[Claimed]
    now: datetime


_SEIZER_VERSION = 8


def seizer() -> UUID:
    """Make an id for who claims deliveries to end them at once, without an attempt.

    No worker has it, so that what it leaves behind is rescued; and its version (RFC 9562, 8: for
    uses of one's own) tells the rescuer that nothing of it was sent.
    """
    return UUID(int=uuid4().int & ~(0xF << 76) | _SEIZER_VERSION << 76)


def is_seizer(worker_id: UUID) -> bool:
    """Whether who claims under this id only ends what it claims."""
    return worker_id.version == _SEIZER_VERSION


_RETURNING = ", ".join(f"d.{name}" for name in Claimed._fields)


def claiming(found: str, worker: str, *, sends: bool, where: str = "true", also: str = "") -> str:
    """Give the SQL that claims for `worker` (an expression) the rows whose ctid `found`, a locking
    SELECT, gives; it returns them as `Claimed` has them, then `also`.

    The one UPDATE that hands a delivery to somebody: it raises the fence. `sends`: whoever claims
    means to send, and when it began is noted; who claims to end a delivery, or takes over from the
    dead, leaves the time of the claim before it. A row that is locked stays where it is, so that it
    is found by its ctid. `where` is about the row too; the tenant, where it is known, so that the
    tables can be distributed by it.
    """
    noted = ", claimed_at = clock_timestamp()" if sends else ""
    return f"""
WITH found AS MATERIALIZED ({found})
UPDATE mailproxy.deliveries d SET worker_id = {worker}, claim_no = d.claim_no + 1{noted}
FROM found WHERE d.ctid = found.ctid AND {where}
RETURNING {_RETURNING}{also}
"""  # noqa: S608 - no input is in the text


_DUE = """
    SELECT d.ctid
    FROM (VALUES (10::smallint, $4::timestamptz), (20::smallint, $5::timestamptz),
                 (30::smallint, $6::timestamptz), (40::smallint, $7::timestamptz)
         ) AS band(priority, bound)
    CROSS JOIN LATERAL (
        SELECT ctid, due_at FROM mailproxy.deliveries
        WHERE tenant_id = $1 AND account_id = $2 AND priority = band.priority
          AND worker_id IS NULL AND NOT held AND due_at BETWEEN band.bound AND now()
        ORDER BY due_at, message_id, recipient_no LIMIT $8 FOR UPDATE SKIP LOCKED
    ) d {order} LIMIT $8
"""

_OF_TENANT = "d.tenant_id = $1"
CLAIM = claiming(_DUE.format(order=""), "$3", sends=True, where=_OF_TENANT, also=", now() AS now")
"""By priority, then by age."""
OLDEST = claiming(
    _DUE.format(order="ORDER BY d.due_at"),
    "$3",
    sends=True,
    where=_OF_TENANT,
    also=", now() AS now",
)
"""By age, whatever the priority."""


_NEXT_DUE = """
SELECT now() AS now, min(d.due_at) AS due_at
FROM (VALUES (10::smallint, $3::timestamptz), (20::smallint, $4::timestamptz),
             (30::smallint, $5::timestamptz), (40::smallint, $6::timestamptz)
     ) AS band(priority, bound)
CROSS JOIN LATERAL (
    SELECT due_at FROM mailproxy.deliveries
    WHERE tenant_id = $1 AND account_id = $2 AND priority = band.priority
      AND worker_id IS NULL AND NOT held AND due_at >= band.bound
    ORDER BY due_at, message_id, recipient_no LIMIT 1
) d
"""

_RELEASE = """
UPDATE mailproxy.deliveries d SET worker_id = NULL, marked = false
FROM unnest($2::uuid[], $3::uuid[], $4::smallint[], $5::integer[])
  AS held(tenant_id, message_id, recipient_no, claim_no)
WHERE d.tenant_id = held.tenant_id AND d.message_id = held.message_id
  AND d.recipient_no = held.recipient_no AND d.claim_no = held.claim_no AND d.worker_id = $1
"""

_MINE = f"""
SELECT {_RETURNING} FROM mailproxy.deliveries d
WHERE tenant_id = $1 AND account_id = $2 AND worker_id = $3
"""  # noqa: S608 - no input is in the text

_TAKE_OVER = claiming(
    "SELECT ctid FROM mailproxy.deliveries WHERE worker_id = $1 LIMIT $3 FOR UPDATE SKIP LOCKED",
    "$2",
    sends=False,
)


async def claim(
    link: Connection,
    tenant_id: UUID,
    account_id: str,
    worker_id: UUID,
    bounds: Sequence[datetime],
    limit: int,
    statement: str = CLAIM,
) -> Claim | None:
    """Claim at most `limit` due deliveries of one account; None when nothing is due.

    `bounds` are the low-water bounds, one a priority. Locks the rows it takes and skips
    those that others hold; relies on deliveries_due, read from each bound on. A locked row
    stays where it is, so the UPDATE finds it by its ctid. `statement`
    is another one in tests that show what it is good for.
    """
    rows = await link.fetch(statement, tenant_id, account_id, worker_id, *bounds, limit)
    if not rows:
        return None
    claimed = [Claimed._make(row[:-1]) for row in rows]
    claimed.sort(key=lambda c: (c.priority, c.due_at, c.message_id.int, c.recipient_no))
    return Claim(claimed, rows[0]["now"])


async def next_due(
    link: Connection, tenant_id: UUID, account_id: str, bounds: Sequence[datetime]
) -> tuple[datetime, datetime | None]:
    """Give the database's time, and when the account's next unclaimed delivery is due.

    Takes no lock; relies on deliveries_due.
    """
    row = await link.fetchrow(_NEXT_DUE, tenant_id, account_id, *bounds)
    assert row is not None, "an aggregate always has a row"
    return row["now"], row["due_at"]


async def release(link: Connection, worker_id: UUID, held: Sequence[Claimed]) -> None:
    """Hand unsent deliveries back as they were; what is no longer ours is left alone.

    Locks the rows by their primary key, fenced by worker and claim_no. Leaves no report.
    """
    ordered = sorted(held, key=lambda c: (c.tenant_id.int, c.message_id.int, c.recipient_no))
    await link.execute(
        _RELEASE,
        worker_id,
        [c.tenant_id for c in ordered],
        [c.message_id for c in ordered],
        [c.recipient_no for c in ordered],
        [c.claim_no for c in ordered],
    )


async def mine(
    link: Connection, tenant_id: UUID, account_id: str, worker_id: UUID
) -> list[Claimed]:
    """Read all that a worker holds of an account, for when the answer to a claim was lost.

    Takes no lock; relies on deliveries_claimed.
    """
    rows = await link.fetch(_MINE, tenant_id, account_id, worker_id)
    return [Claimed(*row) for row in rows]


async def take_over(link: Connection, dead: UUID, worker_id: UUID, limit: int) -> list[Claimed]:
    """Claim what a dead worker held, so that this one can settle it as interrupted.

    Locks the rows it takes, skipping locked ones; relies on deliveries_claimed.
    """
    rows = await link.fetch(_TAKE_OVER, dead, worker_id, limit)
    return [Claimed(*row) for row in rows]


assert len(PRIORITIES) == 4, "the statements above name each priority"
