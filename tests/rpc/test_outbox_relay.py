"""Mail moves from an application's own database to the server, once, by any number of relays."""

import asyncio
import json

from mailproxy import AsyncMailProxyClient
from mailproxy_server.cli.relaying import Relay

from tests.support.eventually import eventually
from tests.support.outbox_desk import EMAIL
from tests.support.served import TOKEN, Front
from tests.support.shops_database import Shop, put_in


async def test_all_is_moved_once_by_relays_side_by_side(front: Front, shop: Shop) -> None:
    url, link = shop
    await put_in(link, 500)
    said: list[str] = []
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        relays = [Relay(url, client, "shop", said.append) for _ in range(3)]
        assert all(await asyncio.gather(*(relay.once() for relay in relays)))
    assert (await front.rows())["messages"] == 500
    assert await link.fetchval("SELECT count(*) FROM mailproxy.outbox") == 0
    assert said


async def test_what_was_submitted_and_not_removed_is_queued_once(front: Front, shop: Shop) -> None:
    url, link = shop
    await put_in(link, 20)
    rows = await link.fetch("SELECT outbox_id, created_at FROM mailproxy.outbox")
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        relay = Relay(url, client, "shop", lambda _: None)
        assert await relay.once()
        # As after a kill between the server's answer and the commit here: the rows are back.
        for row in rows:
            await link.execute(
                """INSERT INTO mailproxy.outbox (outbox_id, created_at, email)
                   OVERRIDING SYSTEM VALUE VALUES ($1, $2, $3)""",
                *row,
                json.dumps(EMAIL),
            )
        assert await relay.once()
    assert (await front.rows())["messages"] == 20


async def test_a_refused_row_stays_with_what_is_wrong_and_stops_nothing(
    front: Front, shop: Shop
) -> None:
    url, link = shop
    await put_in(link, 1, {"composed": {"colour": "red"}})
    await put_in(link, 1, {"composed": {**EMAIL["composed"], "to": [{"address": "x"}]}})
    await put_in(link, 2)
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        assert await Relay(url, client, "shop", lambda _: None).once()
    assert (await front.rows())["messages"] == 2
    refused = await link.fetch("SELECT field, error FROM mailproxy.outbox ORDER BY outbox_id")
    assert [row["field"] for row in refused] == [
        "email.composed.colour",
        "email.composed.to[0].address",
    ]
    assert all(row["error"] for row in refused)


async def test_one_that_follows_hears_of_a_commit(front: Front, shop: Shop) -> None:
    url, link = shop
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        following = asyncio.create_task(Relay(url, client, "shop", lambda _: None).run())
        await put_in(link, 3)
        async with asyncio.timeout(20):
            while (await front.rows())["messages"] < 3:
                await asyncio.sleep(0.05)
        following.cancel()
        await asyncio.wait([following])


async def test_a_table_that_was_made_again_counts_anew_and_loses_nothing(
    front: Front, shop: Shop
) -> None:
    url, link = shop
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        for _ in range(2):
            await put_in(link, 3)
            assert await Relay(url, client, "shop", lambda _: None).once()
            await link.execute("TRUNCATE mailproxy.outbox RESTART IDENTITY")
    assert (await front.rows())["messages"] == 6


async def test_hostile_rows_end_refused_and_the_relay_goes_on(front: Front, shop: Shop) -> None:
    url, link = shop
    for text in ('{"a\\u0000b": 1}', '{"\\ud800": 1}', "[" * 3000 + "]" * 3000, "7"):
        await link.execute("SELECT mailproxy.submit($1::text::json)", text)
    await put_in(link, 1, request_id="x" * 200)
    await put_in(link, 1)
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        assert await Relay(url, client, "shop", lambda _: None).once()
    fields = await link.fetch("SELECT field FROM mailproxy.outbox ORDER BY outbox_id")
    assert [row[0] for row in fields] == [
        'email."a\\u0000b"', 'email."\\ud800"', "email", "email", "request_id",
    ]  # fmt: skip
    assert (await front.rows())["messages"] == 1


async def test_it_goes_on_when_its_database_was_away(front: Front, shop: Shop) -> None:
    url, link = shop
    said: list[str] = []
    async with AsyncMailProxyClient(front.address, TOKEN) as client:
        following = asyncio.create_task(Relay(url, client, "shop", said.append).run())
        await put_in(link, 1)
        await eventually(lambda: said, "the first one is moved")
        await link.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
               WHERE datname = current_database() AND pid <> pg_backend_pid()"""
        )
        await put_in(link, 1)
        await eventually(lambda: said.count("moved 1") == 2, "the second one is moved")
        following.cancel()
        await asyncio.wait([following])
    assert (await front.rows())["messages"] == 2


async def test_what_a_server_that_is_away_was_to_get_stays_and_is_told_of_once(
    shop: Shop,
) -> None:
    url, link = shop
    await put_in(link, 2)
    said: list[str] = []
    async with AsyncMailProxyClient("127.0.0.1:1", TOKEN, retry=False) as client:
        relay = Relay(url, client, "shop", said.append)
        assert not await relay.once()
        assert not await relay.once()
    assert len(said) == 1
    assert "left for later 2" in said[0]
    assert (
        await link.fetchval("SELECT count(*) FROM mailproxy.outbox WHERE refused_at IS NULL") == 2
    )
