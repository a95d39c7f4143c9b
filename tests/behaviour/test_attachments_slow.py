"""A source that takes a minute, and a thousand messages that wait for it, hold nobody else up."""

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from mailproxy import AccountFields, AsyncMailProxyClient, Attachment, Message

from tests.support.eventually import eventually
from tests.support.origin import Origin
from tests.support.replicas import client_of, replica
from tests.support.sinkhole import Sinkhole
from tests.support.telling import tell

WAITING, OTHERS = 1_000, 200

SETTINGS: dict[str, float | str] = {"egress_allow": "127.0.0.1/32", "drain_seconds": 1}


def relay_at(port: int) -> AccountFields:
    return AccountFields(port=port, host="127.0.0.1", tls="none", max_connections=2)


async def rate(client: AsyncMailProxyClient, sinkhole: Sinkhole) -> float:
    """Submit ordinary messages one after another; give the seconds until all have arrived."""
    clock, before = asyncio.get_running_loop().time, sinkhole.dots
    began = clock()
    for number in range(OTHERS):
        await client.submit(from_address="a@a.test", to=f"u{number}@b.test", text="Hi.\n")
    await eventually(lambda: sinkhole.dots == before + OTHERS, "the others have arrived")
    return clock() - began


def waiting(url: str) -> list[Message]:
    files = [Attachment("slow", url=url)]
    return [
        Message(from_address="a@a.test", to=f"w{number}@b.test", attachments=files)
        for number in range(WAITING)
    ]


@pytest.mark.timeout(120)
async def test_what_waits_for_a_slow_source_is_waited_for_by_nobody(
    data_dir: Path, database_url: str
) -> None:
    """Both rates are of one run. Had the thousand a place among what is sent, or a connection, or
    were they fetched in turn with it, the others would wait for minutes."""
    data_dir.mkdir()
    never = asyncio.Event()

    async def slow(_: web.Request) -> web.StreamResponse:
        await asyncio.wait([asyncio.ensure_future(never.wait())], timeout=60)
        return web.Response(body=b"late")

    async with (
        Origin({"/slow": slow}) as origin,
        Origin({"/quick": b"quick"}) as elsewhere,
        Sinkhole() as sinkhole,
        replica(data_dir, database_url, settings=SETTINGS) as run,
        client_of(run) as client,
    ):
        await client.create_account("demo", **relay_at(sinkhole.port))
        alone = await rate(client, sinkhole)
        for sent in await client.submit_many(waiting(origin.url("/slow"))):
            assert not isinstance(sent, Exception), sent
        await origin.until(lambda: origin.asked["/slow"] >= 8)
        beside = await rate(client, sinkhole)
        quick = [Attachment("quick", url=elsewhere.url("/quick"))]
        before = sinkhole.dots
        await client.submit(from_address="a@a.test", to="q@b.test", attachments=quick)
        await eventually(
            lambda: sinkhole.dots > before, "another origin is not held up", seconds=20
        )
        tell(f"{OTHERS} others: {alone:.2f} s alone, {beside:.2f} s beside {WAITING} that wait")
        assert origin.peak <= 8
        never.set()
        await eventually(
            lambda: sinkhole.dots == 2 * OTHERS + WAITING + 1, "those that waited", seconds=60
        )
