"""The demo inbox, by our own pool: what it keeps, and its recipients that misbehave."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from mailproxy_server.demo.inbox import Inbox, Received
from mailproxy_server.smtp.pool import Pool
from mailproxy_server.smtp.relay import Relay, Tls

from tests.smtp.speaking import TEXT, said, send


@asynccontextmanager
async def started(**settings: float) -> AsyncIterator[tuple[Inbox, Pool]]:
    inbox = Inbox(port=0, **settings)  # type: ignore[arg-type]
    await inbox.start()
    pool = Pool(Relay(inbox.host, inbox.port, Tls.NONE))
    try:
        yield inbox, pool
    finally:
        await pool.close()
        await inbox.stop()


async def test_it_keeps_what_it_gets_as_it_came() -> None:
    told: list[Received] = []
    inbox = Inbox(port=0, on_message=told.append)
    await inbox.start()
    pool = Pool(Relay(inbox.host, inbox.port, Tls.NONE))
    content = "Subject: ü\r\n\r\n.dot\r\n..\r\n".encode()
    transcript = await send(
        pool, "jürgen@b.test", "bob@b.test", content=content, return_path="", eight_bit=True
    )
    await pool.close()
    await inbox.stop()
    assert said(transcript)[-1] == "DOT 250"
    assert list(inbox.messages) == told
    assert (told[0].octets, told[0].mail_from) == (content, "")
    assert told[0].rcpt_to == ("jürgen@b.test", "bob@b.test")


async def test_pipelining_is_offered_and_holds_for_many_messages_at_once() -> None:
    async with started() as (inbox, pool):
        assert "PIPELINING" in (await pool.verify()).capabilities
        transcripts = await asyncio.gather(*[send(pool, f"r{n}@b.test") for n in range(100)])
        assert {said(transcript)[-1] for transcript in transcripts} == {"DOT 250"}
        assert len({message.rcpt_to for message in inbox.messages}) == 100
        large = TEXT + b".x" * 400 + b"\r\n" + (b"y" * 990 + b"\r\n") * 2000
        await send(pool, content=large)
        assert inbox.messages[-1].octets == large


async def test_550_refuses_its_recipient_and_not_the_others() -> None:
    async with started() as (inbox, pool):
        transcript = await send(pool, "550@demo.test", "bob@demo.test")
        assert said(transcript)[1:] == ["RCPT 550", "RCPT 250", "DATA 354", "DOT 250"]
        assert inbox.messages[0].rcpt_to == ("bob@demo.test",)


async def test_451_twice_refuses_twice_and_then_again_for_the_next_message() -> None:
    async with started() as (inbox, pool):
        codes = [said(await send(pool, "451-twice@demo.test"))[1] for _ in range(6)]
        assert codes == ["RCPT 451", "RCPT 451", "RCPT 250"] * 2
        assert len(inbox.messages) == 2


@pytest.mark.parametrize("name", ["X-Mailproxy-Id", "Message-ID"])
async def test_cut_after_dot_leaves_the_outcome_open_once(name: str) -> None:
    content = f"{name}: <17@a.test>\r\n".encode() + TEXT
    async with started() as (inbox, pool):
        first = await send(pool, "cut-after-dot@demo.test", content=content)
        second = await send(pool, "cut-after-dot@demo.test", content=content)
        assert [said(first)[-1], said(second)[-1]] == ["DOT closed", "DOT 250"]
        assert len(inbox.messages) == 2


async def test_slow_takes_its_time_and_holds_up_nobody_else() -> None:
    async with started(slow_seconds=0.2) as (inbox, pool):
        slow = asyncio.create_task(send(pool, "slow-10s@demo.test"))
        while not inbox.messages:
            await asyncio.sleep(0)
        assert said(await send(pool))[-1] == "DOT 250"
        assert not slow.done()
        transcript = await slow
    assert transcript.exchanges[-1].elapsed_ms >= 200


async def test_stopping_ends_what_is_under_way() -> None:
    async with started(slow_seconds=60) as (inbox, pool):
        slow = asyncio.create_task(send(pool, "slow-10s@demo.test"))
        while not inbox.messages:
            await asyncio.sleep(0)
        await inbox.stop()
        assert said(await slow)[-1] == "DOT closed"
