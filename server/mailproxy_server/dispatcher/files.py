"""Brings the files that a message names: from what is kept, or from their source, once.

What was brought is kept before anything of the message is sent, so that every later attempt, by
whichever replica, sends the same bytes.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID
from weakref import WeakValueDictionary

from mailproxy.v1 import message_pb2

from mailproxy_server.content.attachments import external, named_blob
from mailproxy_server.content.codec import restore
from mailproxy_server.content.sources.source import Source, Unfetchable
from mailproxy_server.content.sources.spool import Spool, TooLarge
from mailproxy_server.dispatcher.patience import patiently
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.queue import blobs, contents, flights
from mailproxy_server.queue.blobs import Blob
from mailproxy_server.queue.contents import Content
from mailproxy_server.queue.hot import Connection, Pool

FLIGHT_SECONDS = 15.0
"""How long the right to fetch a digest lasts unless it is renewed."""
_LOOK_SECONDS = 0.2
_WHOLE = 2**31 - 1

Attachment = message_pb2.Attachment
Named = tuple[UUID, bytes]
"""A tenant, and the SHA-256 or MD5 of a file."""
Sources = Callable[[Route], Mapping[str, Source]]
"""Gives the sources that an account has, by the field of the contract that names one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Octets of one file, of all files of a message, and of one that are held in memory while it
    comes; and how many are fetched at once for one account from one origin."""

    one: int
    all: int
    memory: int
    at_once: int


class Files:
    """Of one dispatcher, whose `worker_id` holds the rights to fetch."""

    def __init__(self, pool: Pool, worker_id: UUID, sources: Sources, limits: Limits) -> None:
        self._pool = pool
        self._worker_id = worker_id
        self._sources = sources
        self._limits = limits
        self._turns: WeakValueDictionary[object, asyncio.Lock] = WeakValueDictionary()
        self._slots: WeakValueDictionary[object, asyncio.Semaphore] = WeakValueDictionary()
        self.fetches = 0
        """Files that were asked of their source."""
        self.found = 0
        """Files that were named by a digest and kept already."""

    async def bring(self, route: Route, content: Content) -> None:
        """See that all files of a message are kept, and note which they are.

        Raises `Unfetchable` for the first that cannot be had; what was brought before it stays.
        Waits for a database that is away.
        """
        tenant_id, before = route.account.tenant_id, content.blobs or ()
        files = await self._named(tenant_id, content.message_id)
        after = list(before)
        try:
            for number, file in enumerate(files):
                if not after[number]:
                    after[number] = await self._bring_one(route, file)
            await self._check_total(tenant_id, after)
        finally:
            if after != list(before):
                note = (tenant_id, content.message_id, before, after)
                await patiently(self._pool, lambda link: contents.fetched(link, *note))

    async def _named(self, tenant_id: UUID, message_id: UUID) -> list[Attachment]:
        whole = await patiently(
            self._pool, lambda link: contents.read(link, tenant_id, [message_id], _WHOLE)
        )
        stored = whole[message_id].content
        return external(restore(stored).composed) if stored else []

    async def _check_total(self, tenant_id: UUID, digests: Sequence[bytes]) -> None:
        found = await patiently(self._pool, lambda link: blobs.find(link, tenant_id, digests))
        total = sum(found[digest].octets for digest in digests if digest in found)
        if total > self._limits.all:
            raise Unfetchable(f"the files have {total} bytes together; at most {self._limits.all}")

    async def _bring_one(self, route: Route, file: Attachment) -> bytes:
        tenant_id = route.account.tenant_id
        try:
            digest = named_blob(file) or bytes.fromhex(file.sha256 or file.md5)
            if not digest:
                return await self._fetch(route, file)
            turn = self._turns.setdefault((tenant_id, digest), asyncio.Lock())
            async with turn:
                return await self._bring_named(route, file, digest)
        except TooLarge:
            raise Unfetchable(f"{_name(file)}: more than {self._limits.one} bytes") from None
        except Unfetchable as error:
            raise Unfetchable(f"{_name(file)}: {error}", passing=error.passing) from None

    async def _bring_named(self, route: Route, file: Attachment, digest: bytes) -> bytes:
        """Bring a file whose digest is known: it is fetched by one of all who want it."""
        tenant_id = route.account.tenant_id
        named = (tenant_id, digest)
        while True:
            blob = await patiently(self._pool, lambda link: _kept(link, *named))
            if blob is not None:
                self.found += 1
                return blob.sha256
            if file.WhichOneof("source") in (None, "blob"):
                raise Unfetchable("no such file is kept (any more); upload it")
            if await self._take_off(named):
                async with self._flight(named):
                    # It may have landed between the look and the right to fetch.
                    blob = await patiently(self._pool, lambda link: _kept(link, *named))
                    return blob.sha256 if blob else await self._fetch(route, file)
            await asyncio.sleep(_LOOK_SECONDS)  # another replica fetches it

    @asynccontextmanager
    async def _flight(self, named: Named) -> AsyncIterator[None]:
        """Keep the right to fetch a digest for the length of the block."""

        async def renew() -> None:
            while True:
                await asyncio.sleep(FLIGHT_SECONDS / 3)
                await self._take_off(named)

        renewing = asyncio.create_task(renew(), name="flight")
        try:
            yield
        finally:
            renewing.cancel()
            mine = (*named, self._worker_id)
            await patiently(self._pool, lambda link: flights.land(link, *mine))

    async def _take_off(self, named: Named) -> bool:
        mine = (*named, self._worker_id, FLIGHT_SECONDS)
        return await patiently(self._pool, lambda link: flights.take(link, *mine))

    async def _fetch(self, route: Route, file: Attachment) -> bytes:
        account = route.account
        kind = file.WhichOneof("source")
        source = self._sources(route).get(str(kind))
        if source is None:
            raise Unfetchable("this server has no such source of files")
        place = (account.tenant_id, account.account_id, source.origin(file))
        slot = self._slots.setdefault(place, asyncio.Semaphore(self._limits.at_once))
        async with slot:
            with Spool(self._limits.one, self._limits.memory) as spool:
                self.fetches += 1
                async with source.open(file) as pieces:
                    async for piece in pieces:
                        await spool.write(piece)
                _check_digests(file, spool)
                await self._keep(account.tenant_id, spool)
                return spool.sha256

    async def _keep(self, tenant_id: UUID, spool: Spool) -> None:
        digests = (spool.sha256, spool.md5)
        await patiently(
            self._pool,
            lambda link: blobs.keep(
                link, tenant_id, digests, spool.octets, spool.chunks(blobs.CHUNK)
            ),
        )


async def _kept(link: Connection, tenant_id: UUID, digest: bytes) -> Blob | None:
    if len(digest) == 16:
        blob = await blobs.by_md5(link, tenant_id, digest)
    else:
        blob = (await blobs.find(link, tenant_id, [digest])).get(digest)
    if blob is not None:
        await blobs.touch(link, tenant_id, [blob.sha256])
    return blob


def _check_digests(file: Attachment, spool: Spool) -> None:
    for named, digest in ((file.sha256, spool.sha256), (file.md5, spool.md5)):
        if named and named != digest.hex():
            raise Unfetchable(f"what came has another digest than was named: {digest.hex()}")


def _name(file: Attachment) -> str:
    return file.filename or file.content_id
