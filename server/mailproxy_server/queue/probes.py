"""Probes: the right to let one message through an open breaker, one replica's at a time.

The right is a lease, and its name is the time at which it ends, the account's `probe_at`: who
held one too long finds another time there and changes nothing.
"""

from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.health import Cause, columns
from mailproxy_server.queue.hot import Connection

FREE = "probe_at <= now()"
_TAKE = """
UPDATE mailproxy.relay_health SET probe_at = now() + $3 * interval '1 second'
WHERE tenant_id = $1 AND account_id = $2 AND breaker = 'open' AND {free}
RETURNING probe_at
"""


def taking(free: str = FREE) -> str:
    """Give the SQL; with another condition only in a test that shows what it is good for."""
    return _TAKE.format(free=free)


TAKE = taking()

_MOVE = """
UPDATE mailproxy.relay_health
SET probe_at = now() + $4 * interval '1 second', probes = probes + $5
WHERE tenant_id = $1 AND account_id = $2 AND breaker = 'open' AND probe_at = $3
RETURNING probe_at
"""

_FAILED = """
UPDATE mailproxy.relay_health
SET kind = $3, reason = $4, reply_code = $5, reply_enhanced = $6, reply_text = $7,
    reply_stage = $8, detail = $9, probe_at = now() + $10 * interval '1 second',
    probes = probes + 1
WHERE tenant_id = $1 AND account_id = $2 AND breaker = 'open' AND probe_at = $11
"""


async def take(
    link: Connection, tenant_id: UUID, account_id: str, lease: float, sql: str = TAKE
) -> datetime | None:
    """Take the probe for `lease` seconds; None when it is not yet time, or another has it.

    Locks the account's row by its key.
    """
    until: datetime | None = await link.fetchval(sql, tenant_id, account_id, lease)
    return until


async def renew(
    link: Connection, tenant_id: UUID, account_id: str, probe: datetime, lease: float
) -> datetime | None:
    """Keep the probe for `lease` seconds from now; None when it is lost. Locks as `take`."""
    until: datetime | None = await link.fetchval(_MOVE, tenant_id, account_id, probe, lease, 0)
    return until


async def give_back(link: Connection, tenant_id: UUID, account_id: str, probe: datetime) -> None:
    """Nothing was found out: the next message may be the probe at once. Locks as `take`."""
    await link.execute(_MOVE, tenant_id, account_id, probe, 0.0, 0)


async def failed(
    link: Connection,
    tenant_id: UUID,
    account_id: str,
    probe: datetime,
    cause: Cause | None,
    wait: float,
) -> bool:
    """The relay is not well yet: the next probe is `wait` seconds away.

    `cause` is why the breaker is open from now on; None leaves it as it was. False when the
    probe was lost. Locks as `take`.
    """
    key = tenant_id, account_id
    if cause is None:
        return await link.fetchval(_MOVE, *key, probe, wait, 1) is not None
    status = await link.execute(_FAILED, *key, *columns(cause), wait, probe)
    return status == "UPDATE 1"
