"""Which deliveries a selector means, and walking them.

A walk looks at so many deliveries at a time, in the order of their keys: however deep the queue
is, no statement takes long, and who acts on what was found holds few locks at once.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from mailproxy_server.queue.hot import Connection

LOOKED_AT = 1_000
"""Deliveries that one statement of a walk looks at."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which messages of a tenant; an empty field does not restrict."""

    account_id: str = ""
    message_ids: Sequence[UUID] = ()
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def everything(self) -> bool:
        """Whether nothing restricts it."""
        return not (self.account_id or self.message_ids or self.labels)


@dataclass(frozen=True, slots=True)
class Found:
    """A delivery that a walk found: its key, whether it is queued (or else claimed) and held."""

    message_id: UUID
    recipient_no: int
    queued: bool
    held: bool


_LOOK = """
SELECT message_id, recipient_no, worker_id IS NULL, held, fits, looked_at FROM (
    SELECT d.*, count(*) OVER () AS looked_at,
           row_number() OVER (ORDER BY d.message_id, d.recipient_no) AS no,
           {also} AND ($7::jsonb = '{{}}' OR coalesce((
             SELECT m.labels @> $7 FROM mailproxy.messages m
             WHERE m.tenant_id = $1 AND m.message_id = d.message_id), false)) AS fits
    FROM (SELECT d.* FROM mailproxy.deliveries d
          WHERE d.tenant_id = $1 AND (d.message_id, d.recipient_no) > ($2, $3)
            AND ($5 = '' OR d.account_id = $5) AND {ids} AND {among}
          ORDER BY d.message_id, d.recipient_no LIMIT $4) d
) looked
WHERE fits OR no = looked_at ORDER BY no
"""
"""The labels are asked for one by one: a plan that reads all that carry them has no bound."""
_BY_IDS = "d.message_id = ANY($6::uuid[])"
_ANY_ID = "cardinality($6::uuid[]) = 0"
HELD = "d.held"


def look(ids: str = _ANY_ID, also: str = "true", among: str = "true") -> str:
    """Give the SQL of one step of a walk."""
    return _LOOK.format(ids=ids, also=also, among=among)


async def walk(
    link: Connection,
    tenant_id: UUID,
    chosen: Chosen,
    *,
    also: str = "true",
    among: str = "true",
    size: int = LOOKED_AT,
) -> AsyncIterator[list[Found]]:
    """Find the deliveries of the messages that are chosen, at most `size` at a time.

    `also` is a further condition on `d` in SQL; `among` is one that an index has the deliveries
    of, and no other ones are looked at. What comes to stand before the place that the walk has
    come to is passed over. Takes no lock; walks the primary key, or deliveries_held among `HELD`.
    """
    sql = look(_BY_IDS if chosen.message_ids else _ANY_ID, also, among)
    which = chosen.account_id, list(chosen.message_ids), json.dumps(dict(chosen.labels))
    place: tuple[UUID, int] = (UUID(int=0), -1)
    while rows := await link.fetch(sql, tenant_id, *place, size, *which):
        found = [Found(*row[:4]) for row in rows if row["fits"]]
        if found:
            yield found
        place = rows[-1]["message_id"], rows[-1]["recipient_no"]
        if rows[-1]["looked_at"] < size:
            return


def locked(also: str = "true", lock: str = "FOR UPDATE OF d") -> str:
    """Give SQL for what was found, as rows `d` that are locked, and for which `also` holds.

    For a statement whose first arguments are `keys`. One by one and in the order in which they
    were found, which is that of their keys, so that two that lock the same do not deadlock.
    """
    return f"""unnest($2::uuid[], $3::smallint[]) AS k(message_id, recipient_no)
    CROSS JOIN LATERAL (
        SELECT d.message_id, d.recipient_no FROM mailproxy.deliveries d
        WHERE d.tenant_id = $1 AND d.message_id = k.message_id
          AND d.recipient_no = k.recipient_no AND {also} {lock}
    ) d"""  # noqa: S608 - no input is in the text


def keys(tenant_id: UUID, found: Sequence[Found]) -> tuple[UUID, list[UUID], list[int]]:
    """Give the arguments for `locked`."""
    return tenant_id, [one.message_id for one in found], [one.recipient_no for one in found]
