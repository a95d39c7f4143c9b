"""Queueing a batch of messages: the INSERT of messages, requests and deliveries.

One autocommit statement for the whole batch, and one read for those whose request_id was
known before. Decides nothing: what is given has been checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.unavailable import unavailable


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to queue: checked, normalised, its account resolved.

    `digests` is the fingerprint kept with `request_id` (empty without one). `labels` and
    `metadata` are JSON objects as text, or None when empty. `send_at` None means now. `blobs` are
    as `contents.Content` has them.
    """

    tenant_id: UUID
    message_id: UUID
    account_id: str
    request_id: str | None
    digests: bytes
    priority: int
    send_at: datetime | None
    expire_at: datetime | None
    return_path: str
    content: bytes
    labels: str | None
    metadata: str | None
    traceparent: str | None
    recipients: tuple[str, ...]
    at_most_once: bool = False
    blobs: tuple[bytes, ...] | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The message is durably queued since `accepted_at` (the database's clock)."""

    message_id: UUID
    accepted_at: datetime


@dataclass(frozen=True, slots=True)
class Known:
    """Its request_id was accepted before, as `message_id`, with the fingerprint `digests`."""

    message_id: UUID
    accepted_at: datetime
    digests: bytes


Taken = Accepted | Known

INSERT = """
WITH input AS MATERIALIZED (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::bytea[],
                         $6::smallint[], $7::timestamptz[], $8::timestamptz[], $9::text[],
                         $10::bytea[], $11::jsonb[], $12::jsonb[], $13::text[], $14::text[],
                         $15::boolean[], $16::text[])
      AS t(tenant_id, message_id, account_id, request_id, digests, priority, send_at, expire_at,
           return_path, content, labels, metadata, traceparent, recipients, at_most_once, blobs)
), fresh AS (
    INSERT INTO mailproxy.requests (tenant_id, request_id, message_id, digests, created_at)
    SELECT tenant_id, request_id, message_id, digests, now() FROM input
    WHERE request_id IS NOT NULL ORDER BY tenant_id, request_id
    ON CONFLICT DO NOTHING RETURNING message_id
), accepted AS MATERIALIZED (
    SELECT * FROM input
    WHERE request_id IS NULL OR message_id IN (SELECT message_id FROM fresh)
), stored AS (
    INSERT INTO mailproxy.messages (tenant_id, message_id, account_id, request_id, priority,
        accepted_at, send_at, expire_at, return_path, content, labels, metadata, traceparent,
        recipient_count, at_most_once, blobs)
    SELECT tenant_id, message_id, account_id, request_id, priority, now(), send_at, expire_at,
           return_path, content, labels, metadata, traceparent,
           cardinality(string_to_array(recipients, E'\n')), at_most_once, blobs::bytea[]
    FROM accepted
), queued AS (
    INSERT INTO mailproxy.deliveries (tenant_id, message_id, recipient_no, account_id, recipient,
                                      priority, due_at, expire_at, held)
    SELECT a.tenant_id, a.message_id, r.position - 1, a.account_id, r.recipient, a.priority,
           greatest(a.send_at, now()), a.expire_at,
           a.labels IS NOT NULL AND EXISTS (
             SELECT 1 FROM mailproxy.pauses p
             WHERE p.tenant_id = a.tenant_id AND p.account_id IN ('', a.account_id)
               AND p.labels <> '{}' AND a.labels @> p.labels)
    FROM accepted a CROSS JOIN LATERAL
         unnest(string_to_array(a.recipients, E'\n')) WITH ORDINALITY AS r(recipient, position)
)
SELECT message_id, now() AS accepted_at FROM accepted
"""

_KNOWN = """
SELECT r.tenant_id, r.request_id, r.message_id, r.created_at, r.digests
FROM unnest($1::uuid[], $2::text[]) AS asked(tenant_id, request_id)
JOIN mailproxy.requests r
  ON r.tenant_id = asked.tenant_id AND r.request_id = asked.request_id
"""


async def insert(link: Connection, batch: Sequence[NewMessage]) -> dict[UUID, datetime]:
    """Queue a batch in one autocommit statement; give the time of acceptance by message id.

    Those missing from the answer have a request_id that is known already. Waits for a
    concurrent insert of the same request_id (unique index of requests); `batch` must be
    sorted by (tenant_id, request_id), or two batches deadlock.
    """
    rows = await link.fetch(
        INSERT,
        [m.tenant_id for m in batch],
        [m.message_id for m in batch],
        [m.account_id for m in batch],
        [m.request_id for m in batch],
        [m.digests for m in batch],
        [m.priority for m in batch],
        [m.send_at for m in batch],
        [m.expire_at for m in batch],
        [m.return_path for m in batch],
        [m.content for m in batch],
        [m.labels for m in batch],
        [m.metadata for m in batch],
        [m.traceparent for m in batch],
        ["\n".join(m.recipients) for m in batch],
        [m.at_most_once for m in batch],
        [_array(m.blobs) for m in batch],
    )
    return {row["message_id"]: row["accepted_at"] for row in rows}


def _array(blobs: tuple[bytes, ...] | None) -> str | None:
    """Give digests as PostgreSQL's text of a bytea[]: arrays of arrays must be rectangular."""
    if blobs is None:
        return None
    return "{" + ",".join(f'"\\\\x{blob.hex()}"' for blob in blobs) + "}"


async def known(
    link: Connection, messages: Sequence[NewMessage]
) -> dict[tuple[UUID, str | None], Known]:
    """Read which messages the request_ids of `messages` made, by (tenant, request_id).

    Takes no lock; reads by the primary key of requests.
    """
    rows = await link.fetch(
        _KNOWN, [m.tenant_id for m in messages], [m.request_id for m in messages]
    )
    return {
        (row["tenant_id"], row["request_id"]): Known(
            row["message_id"], row["created_at"], row["digests"]
        )
        for row in rows
    }


async def take(link: Connection, batch: Sequence[NewMessage]) -> list[Taken]:
    """Queue a batch sorted by (tenant_id, request_id); one answer a message, in its order.

    Raises `Unavailable` in the rare case that a known request_id aged out in between.
    """
    accepted = await insert(link, batch)
    repeated = [m for m in batch if m.message_id not in accepted]
    before = await known(link, repeated) if repeated else {}
    answers: list[Taken] = []
    for message in batch:
        if message.message_id in accepted:
            answers.append(Accepted(message.message_id, accepted[message.message_id]))
        elif entry := before.get((message.tenant_id, message.request_id)):
            answers.append(entry)
        else:
            raise unavailable()  # aged out between the two statements; the repeat will be fresh
    return answers
