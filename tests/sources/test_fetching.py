"""What web servers do when they are asked for a file: bombs, stalls, cuts and lies."""

import asyncio
import gzip
import zlib
from collections.abc import Callable

import pytest
from aiohttp import web
from mailproxy_server.content.sources.asking import Asker, Question
from mailproxy_server.content.sources.source import PIECE, Patience, Unfetchable
from mailproxy_server.content.sources.spool import Spool, TooLarge
from mailproxy_server.queue.blobs import CHUNK

from tests.sources.test_egress import LOOPBACK, got
from tests.support.origin import Origin, Page

TEXT = b"It is on its way.\r\n" * 5000


def packed(octets: bytes, coding: str) -> Page:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=octets, headers={"Content-Encoding": coding})

    return answer


def asker(**patience: float) -> Asker:
    return Asker(LOOPBACK, Patience(**{"connect": 2, "read": 2, "total": 5} | patience))


def bare(octets: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(octets) + packing.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", bare),
        ("identity", bytes),
    ],
)
async def test_what_a_server_packs_arrives_unpacked(
    coding: str, pack: Callable[[bytes], bytes]
) -> None:
    async with Origin({"/": packed(pack(TEXT), coding)}) as origin:
        assert await got(asker(), origin.url("/")) == TEXT


@pytest.mark.parametrize(
    ("octets", "coding", "passing"),
    [
        (b"not packed", "gzip", True),
        (gzip.compress(TEXT)[:-200], "gzip", True),
        (TEXT, "br", False),
        (TEXT, "gzip, gzip", False),
    ],
    ids=["not packed", "cut", "unknown", "twice"],
)
async def test_what_does_not_unpack_is_no_file(octets: bytes, coding: str, passing: bool) -> None:
    async with Origin({"/": packed(octets, coding)}) as origin:
        with pytest.raises(Unfetchable) as raised:
            await got(asker(), origin.url("/"))
    assert raised.value.passing == passing


async def test_a_bomb_is_unpacked_no_further_than_the_limit() -> None:
    bomb = gzip.compress(bytes(200 * 2**20), 9)  # 200 MiB in 200 KB
    sizes: list[int] = []

    async def fill(spool: Spool, url: str) -> None:
        async with asker().ask(Question(url)) as pieces:
            async for piece in pieces:
                sizes.append(len(piece))
                await spool.write(piece)

    async with Origin({"/": packed(bomb, "gzip")}) as origin:
        with Spool(2**20, 2**16) as spool, pytest.raises(TooLarge):
            await fill(spool, origin.url("/"))
    assert max(sizes) <= PIECE
    assert sum(sizes) <= 2**20 + PIECE


async def test_what_never_ends_and_unpacks_to_nothing_is_given_up() -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        await response.write(gzip.compress(b"")[:10])  # the header, and then empty blocks
        while True:
            await response.write(b"\x00\x00\x00\xff\xff" * 1_000)

    async with Origin({"/": endless}) as origin:
        small = Asker(LOOPBACK, Patience(total=20), most=100_000)
        with pytest.raises(Unfetchable, match="sends more than"):
            await got(small, origin.url("/"))


@pytest.mark.parametrize(
    ("status", "passing"),
    [(400, False), (401, False), (403, False), (404, False), (410, False), (408, True),
     (429, True), (500, True), (502, True), (503, True), (204, False), (206, False)],
)  # fmt: skip
async def test_what_a_status_means(status: int, passing: bool) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status)

    async with Origin({"/": answer}) as origin:
        with pytest.raises(Unfetchable, match=str(status)) as raised:
            await got(asker(), origin.url("/"))
    assert raised.value.passing == passing


async def test_a_server_that_stalls_is_given_up() -> None:
    never = asyncio.Event()

    async def before(_: web.Request) -> web.StreamResponse:
        await never.wait()
        raise AssertionError

    async def within(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"some")
        await never.wait()
        return response

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b".")
            await asyncio.sleep(0.05)

    async with Origin({"/before": before, "/within": within, "/drip": drip}) as origin:
        for path in ("/before", "/within", "/drip"):
            with pytest.raises(Unfetchable, match="in time") as raised:
                await got(asker(read=0.3, total=0.6), origin.url(path))
            assert raised.value.passing
        never.set()


async def test_an_answer_that_breaks_off_is_no_file() -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b"half")
        assert request.transport is not None
        request.transport.abort()
        return response

    async with Origin({"/": cut}) as origin:
        with pytest.raises(Unfetchable) as raised:
            await got(asker(), origin.url("/"))
    assert raised.value.passing


async def test_nobody_listens() -> None:
    async with Origin() as origin:
        url = origin.url("/")
    with pytest.raises(Unfetchable, match="cannot be connected") as raised:
        await got(asker(), url)
    assert raised.value.passing


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
@pytest.mark.parametrize("memory", [0, 100, 10 * CHUNK])
async def test_a_spool_gives_back_what_it_was_given(size: int, memory: int) -> None:
    octets = bytes(number * 7 % 251 for number in range(size))
    with Spool(size, memory) as spool:
        for start in range(0, size, 50_000):
            await spool.write(octets[start : start + 50_000])
        chunks = [chunk async for chunk in spool.chunks(CHUNK)]
    assert b"".join(chunks) == octets
    assert all(len(chunk) == CHUNK for chunk in chunks[:-1])
