"""Mail moves from an application's own database to the server, once, by any number of relays."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest
from mailproxy import AsyncMailProxyClient
from mailproxy_server.cli.relaying import Relay
from mailproxy_server.queue import migrations

from tests.support.postgres import Cluster
from tests.support.served import TOKEN, Front

EMAIL = {
    "composed": {
        "from_address": {"address": "shop@a.test"},
        "to": [{"address": "ann@b.test"}],
        "text_body": "Thank you.",
    }
}
Link: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@pytest.fixture
async def shop(postgres: Cluster) -> AsyncIterator[tuple[str, Link]]:
    """Another database, with an outbox made by the SQL that `mailproxy outbox sql` prints."""
    url = await asyncio.to_thread(postgres.make_database, migrated=False)
    link = await asyncpg.connect(url)
    outbox = Path(migrations.__file__).with_name("outbox.sql").read_text()
    await link.execute(f"CREATE SCHEMA mailproxy; {outbox}")
    yield url, link
    await link.close()
    await asyncio.to_thread(postgres.drop_database, url)


async def put_in(link: Link, count: int, email: object = EMAIL, **request: str) -> None:
    for _ in range(count):
        await link.execute(
            "SELECT mailproxy.submit($1::json, $2)", json.dumps(email), request.get("request_id")
        )


async def test_all_is_moved_once_by_relays_side_by_side(
    front: Front, shop: tuple[str, Link]
) -> None:
    url, link = shop
    await put_in(link, 500)
    said: list[str] = []
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        relays = [Relay(url, client, "shop", said.append) for _ in range(3)]
        assert all(await asyncio.gather(*(relay.once() for relay in relays)))
    assert (await front.rows())["messages"] == 500
    assert await link.fetchval("SELECT count(*) FROM mailproxy.outbox") == 0
    assert said


async def test_what_was_submitted_and_not_removed_is_queued_once(
    front: Front, shop: tuple[str, Link]
) -> None:
    url, link = shop
    await put_in(link, 20)
    rows = await link.fetch("SELECT outbox_id FROM mailproxy.outbox")
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        relay = Relay(url, client, "shop", lambda _: None)
        assert await relay.once()
        # As after a kill between the server's answer and the commit here: the rows are back.
        for row in rows:
            await link.execute(
                """INSERT INTO mailproxy.outbox (outbox_id, email) OVERRIDING SYSTEM VALUE
                   VALUES ($1, $2)""",
                row["outbox_id"],
                json.dumps(EMAIL),
            )
        assert await relay.once()
    assert (await front.rows())["messages"] == 20


async def test_a_refused_row_stays_with_what_is_wrong_and_stops_nothing(
    front: Front, shop: tuple[str, Link]
) -> None:
    url, link = shop
    await put_in(link, 1, {"composed": {"colour": "red"}})
    await put_in(link, 1, {"composed": {**EMAIL["composed"], "to": [{"address": "x"}]}})
    await put_in(link, 2)
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        assert await Relay(url, client, "shop", lambda _: None).once()
    assert (await front.rows())["messages"] == 2
    refused = await link.fetch("SELECT field, error FROM mailproxy.outbox ORDER BY outbox_id")
    assert [row["field"] for row in refused] == ["email", "email.composed.to[0].address"]
    assert all(row["error"] for row in refused)


async def test_one_that_follows_hears_of_a_commit(front: Front, shop: tuple[str, Link]) -> None:
    url, link = shop
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        following = asyncio.create_task(Relay(url, client, "shop", lambda _: None).run())
        await put_in(link, 3)
        async with asyncio.timeout(20):
            while (await front.rows())["messages"] < 3:
                await asyncio.sleep(0.05)
        following.cancel()
        await asyncio.wait([following])
