"""The files that messages are made of, read as they are sent; those asked for twice in memory."""

import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from mailproxy_server.content.segments import Base64, FileRef
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue import blobs, contents
from mailproxy_server.queue.contents import Content
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.smtp.body import BodyLost

_REMEMBERED = 4096
"""Files of which it is known that they were asked for."""

Key = tuple[UUID, bytes, int]


class Shelf:
    """Reads kept files, chunk by chunk; at most `memory` octets of them stay.

    A file that is asked for once leaves no trace but its name: what one large message brings does
    not displace what many share. `hits` and `misses` count chunks.
    """

    def __init__(self, pool: Pool, memory: int) -> None:
        self._pool = pool
        self._memory = memory
        self._held = 0
        self._chunks: OrderedDict[Key, bytes] = OrderedDict()
        self._asked: OrderedDict[tuple[UUID, bytes], None] = OrderedDict()
        self.hits = 0
        self.misses = 0

    async def refs(self, tenant_id: UUID, digests: Sequence[bytes]) -> list[FileRef] | bytes:
        """Give these files with their sizes, or the digest of one that is gone."""
        async with borrowed(self._pool) as link:
            found = await blobs.find(link, tenant_id, digests)
            await blobs.touch(link, tenant_id, list(found))
        for digest in digests:
            if digest not in found:
                return digest
        return [FileRef(digest, found[digest].octets) for digest in digests]

    async def pieces(self, tenant_id: UUID, file: FileRef) -> AsyncIterator[bytes]:
        """Give a file in base64, a piece at a time; raises `BodyLost` unless it is whole."""
        again, count = self._again(tenant_id, file.sha256), blobs.chunk_count(file.octets)
        digest, encoder = hashlib.sha256(), Base64()
        for number in range(count):
            octets = await self._chunk((tenant_id, file.sha256, number), stays=again)
            digest.update(octets)
            yield encoder.feed(octets)
        if digest.digest() != file.sha256:
            self._drop(tenant_id, file.sha256)
            raise BodyLost("a kept file does not hold what its digest says")
        yield encoder.end()

    async def lost(self, tenant_id: UUID, content: Content, sha256: bytes) -> None:
        """A file is not whole: forget it, and have this message fetch it again."""
        before = content.blobs or ()
        after = [b"" if digest == sha256 else digest for digest in before]
        self._drop(tenant_id, sha256)
        try:
            async with borrowed(self._pool) as link:
                await blobs.forget(link, tenant_id, sha256)
                await contents.fetched(link, tenant_id, content.message_id, before, after)
        except Unavailable:
            pass  # the next attempt finds the same

    def _again(self, tenant_id: UUID, sha256: bytes) -> bool:
        """Whether it was asked for before."""
        key = (tenant_id, sha256)
        known = key in self._asked
        self._asked[key] = None
        self._asked.move_to_end(key)
        if len(self._asked) > _REMEMBERED:
            self._asked.popitem(last=False)
        return known

    async def _chunk(self, key: Key, *, stays: bool) -> bytes:
        held = self._chunks.get(key)
        if held is not None:
            self._chunks.move_to_end(key)
            self.hits += 1
            return held
        self.misses += 1
        try:
            async with borrowed(self._pool) as link:
                octets = await blobs.chunk(link, *key)
        except Unavailable:
            raise BodyLost("the database went away while a kept file was read") from None
        if octets is None:
            raise BodyLost("a part of a kept file is gone")
        if stays:
            self._put(key, octets)
        return octets

    def _put(self, key: Key, octets: bytes) -> None:
        self._held += len(octets) - len(self._chunks.pop(key, b""))
        self._chunks[key] = octets
        while self._held > self._memory:
            _, oldest = self._chunks.popitem(last=False)
            self._held -= len(oldest)

    def _drop(self, tenant_id: UUID, sha256: bytes) -> None:
        for key in [key for key in self._chunks if key[:2] == (tenant_id, sha256)]:
            self._held -= len(self._chunks.pop(key))
