"""Reading what a claimed message holds, when it is about to be sent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.hot import Connection


@dataclass(frozen=True, slots=True)
class Content:
    """A message as it is needed for sending. `content` is None when it was left in the table."""

    message_id: UUID
    accepted_at: datetime
    send_at: datetime | None
    return_path: str
    octets: int
    content: bytes | None
    traceparent: str | None
    at_most_once: bool


_READ = """
SELECT message_id, accepted_at, send_at, return_path, octet_length(content),
       CASE WHEN octet_length(content) <= $3 THEN content END, traceparent, at_most_once
FROM mailproxy.messages WHERE tenant_id = $1 AND message_id = ANY($2)
"""


async def read(
    link: Connection, tenant_id: UUID, message_ids: Sequence[UUID], largest: int
) -> dict[UUID, Content]:
    """Read messages by id, leaving contents of more than `largest` octets in the table.

    Takes no lock; reads by the primary key of messages.
    """
    rows = await link.fetch(_READ, tenant_id, list(message_ids), largest)
    return {row[0]: Content(*row) for row in rows}
