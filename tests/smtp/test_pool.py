"""Connections are reused, aged, bounded and replaced; nobody waits for one for ever."""

import asyncio
from typing import Any

import pytest

from tests.smtp.speaking import hasty, pool_at, said, send
from tests.support.relay import CUT, Say, ScriptedRelay, Seen


async def test_one_after_the_other_share_one_connection() -> None:
    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        for _ in range(5):
            await send(pool)
        assert (pool.facts.open, pool.facts.idle, pool.facts.opened) == (1, 1, 1)
    assert relay.opened == 1


async def test_many_at_once_open_no_more_connections_than_allowed() -> None:
    async with ScriptedRelay() as relay, pool_at(relay, max_connections=3) as pool:
        transcripts = await asyncio.gather(*[send(pool, f"r{n}@b.test") for n in range(20)])
    assert {said(transcript)[-1] for transcript in transcripts} == {"DOT 250"}
    assert relay.peak == relay.opened == 3
    assert len({message.recipients for message in relay.messages}) == 20


async def test_whoever_waits_longest_is_next() -> None:
    async with ScriptedRelay() as relay, pool_at(relay, max_connections=1) as pool:
        await asyncio.gather(*[send(pool, f"r{n}@b.test") for n in range(10)])
    assert [m.recipients[0] for m in relay.messages] == [f"r{n}@b.test" for n in range(10)]


async def test_a_connection_leaves_after_its_share_of_messages() -> None:
    settings: dict[str, Any] = {"max_messages_per_connection": 2, "max_connections": 1}
    async with ScriptedRelay() as relay, pool_at(relay, **settings) as pool:
        await asyncio.gather(*[send(pool) for _ in range(5)])
    assert [message.connection for message in relay.messages] == [1, 1, 2, 2, 3]
    assert relay.verbs().count("QUIT") == 3
    assert relay.peak == 1


async def test_idle_connections_take_leave_when_their_time_is_over() -> None:
    async with ScriptedRelay() as relay, pool_at(relay, idle_ttl=0.05) as pool:
        await asyncio.gather(send(pool), send(pool))
        await relay.until(lambda: relay.open == 0, "they left by themselves")
        assert relay.verbs().count("QUIT") == 2
        assert pool.facts.open == 0


async def test_a_connection_that_closed_at_rest_costs_no_attempt() -> None:
    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        await send(pool)
        relay.cut_all()
        await relay.until(lambda: relay.open == 0, "the relay cut it")
        transcript = await send(pool)
    assert said(transcript) == ["MAIL 250", "RCPT 250", "DATA 354", "DOT 250"]
    assert len(relay.messages) == 2


@pytest.mark.parametrize("farewell", [CUT, Say("421 4.4.2 idle too long", cut=True)])
async def test_a_connection_that_closes_just_as_mail_comes_costs_none_either(farewell: Say) -> None:
    def second_mail(seen: Seen) -> Say | None:
        return farewell if seen.connection == 1 and relay.messages else None

    async with ScriptedRelay({"MAIL": second_mail}) as relay, pool_at(relay) as pool:
        await send(pool)
        transcript = await send(pool)
    assert [e.stage for e in transcript.exchanges][:2] == ["CONNECT", "EHLO"]
    assert said(transcript)[-1] == "DOT 250"
    assert [message.connection for message in relay.messages] == [1, 2]


async def test_a_relay_that_always_closes_at_mail_is_tried_once_more_and_no_further() -> None:
    script = {"MAIL": [None, CUT]}
    async with ScriptedRelay(script) as relay, pool_at(relay) as pool:
        await send(pool)
        transcript = await send(pool)
    assert said(transcript) == ["MAIL closed"]
    assert relay.opened == 2


async def test_a_farewell_at_rest_is_not_taken_for_an_answer() -> None:
    script = {"DOT": [Say("250 2.0.0 Ok", extra=b"421 4.4.2 going\r\n"), None]}
    async with ScriptedRelay(script) as relay, pool_at(relay) as pool:
        await send(pool)
        assert said(await send(pool))[-1] == "DOT 250"
    assert relay.opened == 2


@pytest.mark.parametrize("turn", [CUT, Say(), "451 4.3.0 no"])
async def test_a_connection_that_fails_its_check_is_replaced(turn: Say | str) -> None:
    script = {"DATA": ["451 4.3.0 later", None], "RSET": turn}
    async with ScriptedRelay(script) as relay, pool_at(relay, timeouts=hasty("check")) as pool:
        await send(pool)
        assert said(await send(pool))[-1] == "DOT 250"
    assert relay.opened == 2


async def test_closing_takes_leave_of_every_connection() -> None:
    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        await asyncio.gather(*[send(pool) for _ in range(4)])
        await pool.close()
        await relay.until(lambda: relay.open == 0, "all left")
        with pytest.raises(RuntimeError, match="closed"):
            await send(pool)
    assert relay.verbs().count("QUIT") == 4


async def test_closing_waits_for_no_relay_that_is_deaf() -> None:
    async with (
        ScriptedRelay({"QUIT": Say()}) as relay,
        pool_at(relay, timeouts=hasty("quit")) as pool,
    ):
        await send(pool)
        async with asyncio.timeout(2):
            await pool.close()
        await relay.until(lambda: relay.open == 0, "we hung up")


async def test_what_is_on_its_way_when_the_pool_closes_still_arrives() -> None:
    go = asyncio.Event()
    async with ScriptedRelay({"DOT": Say("250 Ok", after=go)}) as relay, pool_at(relay) as pool:
        sending = asyncio.create_task(send(pool))
        await relay.until(lambda: relay.messages, "the content arrived")
        await pool.close()
        go.set()
        assert said(await sending)[-1] == "DOT 250"
        await relay.until(lambda: relay.open == 0, "it left afterwards")


async def test_a_cancelled_send_cuts_its_connection_and_frees_its_place() -> None:
    never = asyncio.Event()
    script = {"DOT": [Say(after=never), None]}
    async with ScriptedRelay(script) as relay, pool_at(relay, max_connections=1) as pool:
        first = asyncio.create_task(send(pool))
        await relay.until(lambda: relay.messages, "the content arrived")
        waiting, gone = asyncio.create_task(send(pool)), asyncio.create_task(send(pool))
        await asyncio.sleep(0)
        gone.cancel()
        first.cancel()
        assert said(await waiting)[-1] == "DOT 250"
        assert (await asyncio.gather(first, gone, return_exceptions=True)).count(None) == 0
        assert pool.facts.open == 1
    assert relay.opened == 2


async def test_an_unreachable_relay_is_tried_once_by_each_send() -> None:
    async with ScriptedRelay({"CONNECT": "554 no"}) as relay, pool_at(relay) as pool:
        await asyncio.gather(*[send(pool) for _ in range(4)])
        assert pool.facts.open == 0
    assert relay.opened == 4


async def test_a_send_cancelled_in_its_content_cuts_its_connection_too() -> None:
    async with ScriptedRelay({"BODY": Say(after=asyncio.Event())}) as relay, pool_at(relay) as pool:
        sending = asyncio.create_task(send(pool, content=b"x" * 62 + b"\r\n" * 10_000_000))
        await relay.until(lambda: "DATA" in relay.verbs(), "the content is under way")
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        assert pool.facts.open == 0


async def test_a_turn_that_comes_to_one_who_just_gave_up_goes_to_the_next() -> None:
    async with ScriptedRelay() as relay, pool_at(relay, max_connections=1) as pool:

        async def first() -> None:
            await send(pool)
            second.cancel()

        finishing = asyncio.create_task(first())
        await relay.until(lambda: relay.opened, "the first is under way")
        second, third = asyncio.create_task(send(pool)), asyncio.create_task(send(pool))
        await asyncio.gather(finishing, second, return_exceptions=True)
        assert second.cancelled()
        assert said(await third)[-1] == "DOT 250"
