"""A relay that does not answer, or ever so slowly: each stage has its time."""

import asyncio

import pytest
from mailproxy_server.mail.transcript import Fault, FaultKind

from tests.smtp.speaking import hasty, pool_at, said, send
from tests.support.relay import SILENCE, Say, ScriptedRelay, Seen

LARGE = b"x" * 62 + b"\r\n"


LIMITS = {"CONNECT": "connect", "EHLO": "session", "MAIL": "mail", "RCPT": "mail"}
LIMITS |= {"DATA": "data", "DOT": "dot"}


@pytest.mark.parametrize("verb", list(LIMITS))
async def test_silence_at_any_stage_ends_in_a_timeout_there(verb: str) -> None:
    limit = hasty("data" if verb in ("MAIL", "RCPT") else LIMITS[verb])
    async with ScriptedRelay({verb: SILENCE}) as relay, pool_at(relay, timeouts=limit) as pool:
        transcript = await send(pool)
        await relay.until(lambda: relay.open == 0, "we hung up")
        assert pool.facts.open == 0
    last = transcript.exchanges[-1]
    # Pipelined, silence at one command looks like silence at the last: replies have no names.
    assert last.stage == ("DATA" if verb in ("MAIL", "RCPT") else verb)
    assert isinstance(last.answer, Fault)
    assert last.answer.kind is FaultKind.TIMEOUT


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_without_pipelining_silence_is_noted_at_its_own_command(verb: str) -> None:
    async with (
        ScriptedRelay({verb: SILENCE}) as relay,
        pool_at(relay, timeouts=hasty(LIMITS[verb]), pipelining=False) as pool,
    ):
        transcript = await send(pool)
    assert said(transcript)[-1] == f"{verb} timeout"


async def test_a_reply_that_drips_has_no_more_time_than_another() -> None:
    drip = Say("250 2.0.0 " + "o" * 200, drip=0.02)
    async with ScriptedRelay({"DOT": drip}) as relay, pool_at(relay, timeouts=hasty("dot")) as pool:
        transcript = await send(pool)
    assert said(transcript)[-1] == "DOT timeout"
    assert transcript.exchanges[-1].elapsed_ms < 1500


async def test_dripped_replies_that_come_in_time_are_read() -> None:
    script = {
        "MAIL": Say("250 2.1.0 Ok", drip=0.001),
        "RCPT": Say("250-2.1.5 a\n250 2.1.5 b", drip=0.001),
    }
    async with ScriptedRelay(script) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
    assert said(transcript) == ["MAIL 250", "RCPT 250", "DATA 354", "DOT 250"]
    assert getattr(transcript.exchanges[-3].answer, "text", "") == "a\nb"


async def test_each_reply_of_a_pipelined_group_has_its_own_time() -> None:
    def late(_: Seen) -> Say:
        slow = asyncio.Event()
        asyncio.get_running_loop().call_later(0.4, slow.set)
        return Say("250 2.1.5 Ok", after=slow)

    script, limit = {"RCPT": late}, hasty("mail", 0.75)
    async with ScriptedRelay(script) as relay, pool_at(relay, timeouts=limit) as pool:
        transcript = await send(pool, "a@b.test", "b@b.test")
    assert said(transcript)[-1] == "DOT 250"
    assert transcript.exchanges[-1].elapsed_ms > 750


async def test_a_relay_that_stops_reading_the_content_is_left_before_the_dot() -> None:
    never = asyncio.Event()
    async with (
        ScriptedRelay({"BODY": Say(after=never)}) as relay,
        pool_at(relay, timeouts=hasty("body")) as pool,
    ):
        transcript = await send(pool, content=LARGE * 500_000)
    assert said(transcript)[-2:] == ["DATA 354", "DATA timeout"]
    assert relay.messages == []
