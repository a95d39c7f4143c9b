"""Kept files: whole, once, each tenant's own, and gone when nobody needs them."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from mailproxy_server.dispatcher.custodian import Custodian, Kept
from mailproxy_server.queue import blobs, contents, flights, hot
from mailproxy_server.queue.blobs import CHUNK

from tests.support.queue import Queue, add_tenant

LONG = timedelta(days=30)
PLENTY = 2**40


async def pieces(octets: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(octets), CHUNK):
        yield octets[start : start + CHUNK]


def digests(octets: bytes) -> tuple[bytes, bytes]:
    md5 = hashlib.md5(octets, usedforsecurity=False).digest()
    return hashlib.sha256(octets).digest(), md5


async def keep(mail_queue: Queue, octets: bytes, tenant_id: UUID | None = None) -> bool:
    async with hot.connection(mail_queue.pool) as link:
        tenant = tenant_id or mail_queue.tenant_id
        return await blobs.keep(link, tenant, digests(octets), len(octets), pieces(octets))


async def kept(mail_queue: Queue) -> set[bytes]:
    rows = await mail_queue.pool.fetch("SELECT sha256 FROM mailproxy.blobs")
    return {row[0] for row in rows}


async def age(mail_queue: Queue, octets: bytes, hours: float) -> None:
    await mail_queue.pool.execute(
        "UPDATE mailproxy.blobs SET used_at = now() - $2 * interval '1 hour' WHERE sha256 = $1",
        digests(octets)[0],
        hours,
    )


async def purge(mail_queue: Queue, ttl: timedelta = LONG, total: int = PLENTY) -> int:
    async with hot.connection(mail_queue.pool) as link:
        return await blobs.purge(link, ttl, total)


async def test_a_file_is_kept_once_and_read_in_chunks(mail_queue: Queue) -> None:
    octets = bytes(range(256)) * 3000
    assert await keep(mail_queue, octets)
    assert not await keep(mail_queue, octets)
    async with hot.connection(mail_queue.pool) as link:
        found = await blobs.find(link, mail_queue.tenant_id, [digests(octets)[0]])
        (blob,) = found.values()
        assert blob == await blobs.by_md5(link, mail_queue.tenant_id, digests(octets)[1])
        read = [
            await blobs.chunk(link, mail_queue.tenant_id, blob.sha256, number)
            for number in range(blobs.chunk_count(blob.octets) + 1)
        ]
    assert read.pop() is None
    assert b"".join(chunk or b"" for chunk in read) == octets


async def test_two_who_keep_the_same_at_once_keep_it_once(mail_queue: Queue) -> None:
    octets = b"same" * 200_000
    new = await asyncio.gather(*(keep(mail_queue, octets) for _ in range(6)))
    assert sorted(new) == [False] * 5 + [True]
    assert await mail_queue.count("blob_chunks") == 4


async def test_one_that_breaks_off_leaves_nothing(mail_queue: Queue) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * CHUNK
        raise ZeroDivisionError

    async with hot.connection(mail_queue.pool) as link:
        with pytest.raises(ZeroDivisionError):
            await blobs.keep(link, mail_queue.tenant_id, digests(b"x"), 2 * CHUNK, broken())
    assert await mail_queue.count("blobs") == await mail_queue.count("blob_chunks") == 0


async def test_tenants_share_nothing(mail_queue: Queue) -> None:
    other = await add_tenant(mail_queue.pool, "other")
    assert await keep(mail_queue, b"file")
    async with hot.connection(mail_queue.pool) as link:
        assert await blobs.find(link, other, [digests(b"file")[0]]) == {}
        assert await blobs.by_md5(link, other, digests(b"file")[1]) is None
        assert await blobs.chunk(link, other, digests(b"file")[0], 0) is None
        await blobs.forget(link, other, digests(b"file")[0])
    assert await keep(mail_queue, b"file", other)
    assert await mail_queue.count("blobs") == 2


async def test_what_was_not_used_for_long_goes(mail_queue: Queue) -> None:
    for octets, hours in ((b"old", 100), (b"new", 1)):
        await keep(mail_queue, octets)
        await age(mail_queue, octets, hours)
    assert await purge(mail_queue, timedelta(hours=72)) == 1
    assert await kept(mail_queue) == {digests(b"new")[0]}
    assert await mail_queue.count("blob_chunks") == 1


async def test_past_the_total_the_oldest_unused_go(mail_queue: Queue) -> None:
    for hours in (1, 2, 3, 4, 0):
        octets = b"%d" % hours * 1000
        await keep(mail_queue, octets)
        await age(mail_queue, octets, hours)
    assert await purge(mail_queue, LONG, 3000) == 2
    assert await kept(mail_queue) == {digests(b"%d" % n * 1000)[0] for n in (0, 1, 2)}
    assert await purge(mail_queue, LONG, 0) == 2  # the fresh one is about to be named
    assert await kept(mail_queue) == {digests(b"0" * 1000)[0]}


async def test_no_tenants_files_make_room_for_anothers(mail_queue: Queue) -> None:
    other = await add_tenant(mail_queue.pool, "other")
    await keep(mail_queue, b"mine" * 250)
    await age(mail_queue, b"mine" * 250, 100)
    for hours in range(1, 9):
        octets = b"%d" % hours * 1000
        await keep(mail_queue, octets, other)
        await age(mail_queue, octets, hours)
    while await purge(mail_queue, LONG, 6000):
        pass
    assert digests(b"mine" * 250)[0] in await kept(mail_queue)
    assert await mail_queue.count("blobs") == 4


async def test_what_an_unfinished_message_needs_stays(mail_queue: Queue) -> None:
    octets = b"needed"
    await keep(mail_queue, octets)
    await age(mail_queue, octets, 10_000)
    message = mail_queue.message()
    await mail_queue.submit(replace(message, blobs=(digests(octets)[0],)))
    assert await purge(mail_queue, timedelta(hours=1), 0) == 0
    assert await mail_queue.settle(await mail_queue.claim()) == 1
    assert await purge(mail_queue, timedelta(hours=1), 0) == 1


async def test_who_fetched_first_decides_what_a_message_is_made_of(mail_queue: Queue) -> None:
    message = mail_queue.message()
    await mail_queue.submit(replace(message, blobs=(b"", b"")))
    first, second = digests(b"1")[0], digests(b"2")[0]
    async with hot.connection(mail_queue.pool) as link:
        note = (link, mail_queue.tenant_id, message.message_id, [b"", b""])
        assert await contents.fetched(*note, [first, b""])
        assert not await contents.fetched(*note, [second, second])
        read = await contents.read(link, mail_queue.tenant_id, [message.message_id], 100)
        content = read[message.message_id]
        assert content.blobs == [first, b""]
        assert not content.complete


async def test_one_flies_and_the_others_wait_unless_it_is_lost(mail_queue: Queue) -> None:
    tenant_id, mine, other = mail_queue.tenant_id, uuid4(), uuid4()
    async with hot.connection(mail_queue.pool) as link:
        assert await flights.take(link, tenant_id, b"d", mine, 60)
        assert await flights.take(link, tenant_id, b"d", mine, 60)
        assert not await flights.take(link, tenant_id, b"d", other, 60)
        assert await flights.take(link, tenant_id, b"e", other, 60)
        await flights.land(link, tenant_id, b"d", other)
        assert not await flights.take(link, tenant_id, b"d", other, 60)
        await flights.land(link, tenant_id, b"d", mine)
        assert await flights.take(link, tenant_id, b"d", other, 0)
        assert await flights.take(link, tenant_id, b"d", mine, 60)
        await link.execute("UPDATE mailproxy.blob_flights SET held_until = now() - interval '2 h'")
        await flights.sweep(link)
    assert await mail_queue.count("blob_flights") == 0


async def test_a_custodian_tidies_without_being_asked(mail_queue: Queue) -> None:
    await keep(mail_queue, b"old")
    await age(mail_queue, b"old", 100)
    custodian = Custodian(mail_queue.pool, mail_queue.url, Kept(30, 30), lambda *_: None)
    running = asyncio.create_task(custodian.run())
    async with asyncio.timeout(20):
        while await mail_queue.count("blobs"):
            await asyncio.sleep(0.02)
    running.cancel()
