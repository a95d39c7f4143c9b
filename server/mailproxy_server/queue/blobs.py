"""Blobs: files kept for messages, by tenant and content; never shared between tenants.

What is kept is whole: a blob's row and its chunks are written in one transaction.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from mailproxy_server.queue.hot import Connection

CHUNK = 256 * 1024
"""Octets of every chunk but the last."""


def chunk_count(octets: int) -> int:
    """Give how many chunks a file of so many octets has."""
    return -(-octets // CHUNK)


@dataclass(frozen=True, slots=True)
class Blob:
    """A file that is kept."""

    sha256: bytes
    md5: bytes
    octets: int
    used_at: datetime


_FIND = """
SELECT sha256, md5, octets, used_at FROM mailproxy.blobs
WHERE tenant_id = $1 AND sha256 = ANY($2)
"""

_FIND_MD5 = """
SELECT sha256, md5, octets, used_at FROM mailproxy.blobs
WHERE tenant_id = $1 AND md5 = $2 ORDER BY kept_at LIMIT 1
"""

_TOUCH = """
UPDATE mailproxy.blobs SET used_at = now()
WHERE tenant_id = $1 AND sha256 = ANY($2) AND used_at < now() - interval '1 minute'
"""

_KEEP = """
INSERT INTO mailproxy.blobs (tenant_id, sha256, md5, octets) VALUES ($1, $2, $3, $4)
ON CONFLICT (tenant_id, sha256) DO UPDATE SET used_at = now()
RETURNING xmax = 0
"""

_ADD_CHUNK = """
INSERT INTO mailproxy.blob_chunks (tenant_id, sha256, chunk_no, data) VALUES ($1, $2, $3, $4)
"""

_CHUNK = """
SELECT data FROM mailproxy.blob_chunks WHERE tenant_id = $1 AND sha256 = $2 AND chunk_no = $3
"""

_FORGET = "DELETE FROM mailproxy.blobs WHERE tenant_id = $1 AND sha256 = $2"

_USED = """
SELECT 1 FROM mailproxy.messages m WHERE m.tenant_id = b.tenant_id
  AND m.blobs @> ARRAY[b.sha256] AND EXISTS (
    SELECT 1 FROM mailproxy.deliveries d
    WHERE d.tenant_id = m.tenant_id AND d.message_id = m.message_id OFFSET 0)
"""

_PURGE_OLD = f"""
DELETE FROM mailproxy.blobs WHERE (tenant_id, sha256) IN (
    SELECT tenant_id, sha256 FROM mailproxy.blobs b
    WHERE used_at < now() - $1::interval AND NOT EXISTS ({_USED}) ORDER BY used_at LIMIT $2)
"""  # noqa: S608 - no input is in the text

_PURGE_MANY = f"""
DELETE FROM mailproxy.blobs WHERE (tenant_id, sha256) IN (
    SELECT tenant_id, sha256 FROM (
        SELECT tenant_id, sha256, used_at, sum(octets) OVER () AS whole,
               sum(octets) OVER (PARTITION BY tenant_id ORDER BY used_at DESC, sha256) AS newer,
               (SELECT count(DISTINCT tenant_id) FROM mailproxy.blobs) AS tenants
        FROM mailproxy.blobs) b
    WHERE whole > $1 AND newer > $1 / tenants AND used_at < now() - $3::interval
      AND NOT EXISTS ({_USED})
    ORDER BY used_at LIMIT $2)
"""  # noqa: S608 - no input is in the text
"""Past the total, those go who have more than their share: no tenant's files make room for
another's."""

_FRESH = timedelta(minutes=10)
"""One that was used within this time is about to be named by a message."""
BATCH = 100


async def find(link: Connection, tenant_id: UUID, digests: Sequence[bytes]) -> dict[bytes, Blob]:
    """Give those of these SHA-256 that are kept. Takes no lock; reads by the primary key."""
    rows = await link.fetch(_FIND, tenant_id, list(digests))
    return {row[0]: Blob(*row) for row in rows}


async def by_md5(link: Connection, tenant_id: UUID, md5: bytes) -> Blob | None:
    """Give the first one that was kept with this MD5. Takes no lock; reads by blobs_md5."""
    row = await link.fetchrow(_FIND_MD5, tenant_id, md5)
    return Blob(*row) if row else None


async def touch(link: Connection, tenant_id: UUID, digests: Sequence[bytes]) -> None:
    """Note that these are used. Locks their rows, where the note is older than a minute."""
    await link.execute(_TOUCH, tenant_id, sorted(digests))


async def keep(
    link: Connection,
    tenant_id: UUID,
    digests: tuple[bytes, bytes],
    octets: int,
    chunks: AsyncIterator[bytes],
) -> bool:
    """Keep a file by its SHA-256 and MD5; give whether it is new.

    One transaction, with no more than a chunk in memory. Waits for another who keeps the same
    (primary key).
    """
    sha256, md5 = digests
    async with link.transaction():
        if not await link.fetchval(_KEEP, tenant_id, sha256, md5, octets):
            return False
        number = 0
        async for octets_of_it in chunks:
            await link.execute(_ADD_CHUNK, tenant_id, sha256, number, octets_of_it)
            number += 1
    return True


async def chunk(link: Connection, tenant_id: UUID, sha256: bytes, number: int) -> bytes | None:
    """Read one chunk, None when it is gone. Takes no lock; reads by the primary key."""
    found: bytes | None = await link.fetchval(_CHUNK, tenant_id, sha256, number)
    return found


async def forget(link: Connection, tenant_id: UUID, sha256: bytes) -> None:
    """Remove one that turned out not to hold what its name says. Locks it by its key."""
    await link.execute(_FORGET, tenant_id, sha256)


async def purge(link: Connection, ttl: timedelta, total: int) -> int:
    """Remove blobs that were not used for `ttl`, and past `total` octets in all the oldest unused
    ones of tenants who have more than an equal share.

    At most a batch of each; gives how many. None goes that an unfinished message needs
    (messages_blobs). Locks what it removes.
    """
    old = await link.execute(_PURGE_OLD, ttl, BATCH)
    many = await link.execute(_PURGE_MANY, total, BATCH, _FRESH)
    return sum(int(status.rpartition(" ")[2]) for status in (old, many))
