"""Reading what a claimed message holds, when it is about to be sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.hot import Connection


class Origin(NamedTuple):
    """Where a delivery comes from: the trace context of its submission, and when its way began,
    with its acceptance or its send_time."""

    traceparent: str | None
    since: datetime


@dataclass(frozen=True, slots=True)
class Content:
    """A message as it is needed for sending. `content` is None when it was left in the table.

    `blobs` are the SHA-256 of its external attachments in order, b"" of one that is not here yet;
    None when it has none.
    """

    message_id: UUID
    accepted_at: datetime
    send_at: datetime | None
    return_path: str
    octets: int
    content: bytes | None
    traceparent: str | None
    at_most_once: bool
    blobs: Sequence[bytes] | None = None

    @property
    def complete(self) -> bool:
        """Whether everything that it is made of is here."""
        return self.blobs is None or all(self.blobs)

    @property
    def since(self) -> datetime:
        """When its way began: with its acceptance, or its send_time where that is later."""
        return max(self.accepted_at, self.send_at or self.accepted_at)

    @property
    def origin(self) -> Origin:
        """What is told of it with its outcomes."""
        return Origin(self.traceparent, self.since)


_READ = """
SELECT message_id, accepted_at, send_at, return_path, octet_length(content),
       CASE WHEN octet_length(content) <= $3 THEN content END, traceparent, at_most_once,
       blobs
FROM mailproxy.messages WHERE tenant_id = $1 AND message_id = ANY($2)
"""

_FETCHED = """
UPDATE mailproxy.messages SET blobs = $4
WHERE tenant_id = $1 AND message_id = $2 AND blobs = $3::bytea[]
"""


async def read(
    link: Connection, tenant_id: UUID, message_ids: Sequence[UUID], largest: int
) -> dict[UUID, Content]:
    """Read messages by id, leaving contents of more than `largest` octets in the table.

    Takes no lock; reads by the primary key of messages.
    """
    rows = await link.fetch(_READ, tenant_id, list(message_ids), largest)
    return {row[0]: Content(*row) for row in rows}


async def origins(link: Connection, rows: Sequence[Claimed]) -> dict[tuple[UUID, UUID], Origin]:
    """Read where claimed deliveries come from, by tenant and message. No lock; primary key."""
    found = {}
    for tenant_id in {row.tenant_id for row in rows}:
        ids = {row.message_id for row in rows if row.tenant_id == tenant_id}
        for content in (await read(link, tenant_id, list(ids), 0)).values():
            found[tenant_id, content.message_id] = content.origin
    return found


async def fetched(
    link: Connection,
    tenant_id: UUID,
    message_id: UUID,
    before: Sequence[bytes],
    after: Sequence[bytes],
) -> bool:
    """Note the files of a message, if they still are what was read before; give whether.

    Who fetched them beside was first: what one recipient was sent, the others are sent too. Locks
    the message by its key.
    """
    status = await link.execute(_FETCHED, tenant_id, message_id, list(before), list(after))
    return status.endswith(" 1")
