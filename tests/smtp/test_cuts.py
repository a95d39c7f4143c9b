"""Connections that break, and dots that must not be sent: never a half message delivered."""

import pytest
from mailproxy_server.mail.transcript import Fault, FaultKind

from tests.smtp.speaking import TEXT, pool_at, said, send
from tests.support.relay import CUT, Say, ScriptedRelay

LARGE = (b"." + b"x" * 61 + b"\r\n") * 4000


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_a_cut_is_noted_at_the_command_it_left_unanswered(
    verb: str, pipelining: bool
) -> None:
    async with (
        ScriptedRelay({verb: CUT}) as relay,
        pool_at(relay, pipelining=pipelining) as pool,
    ):
        transcript = await send(pool)
    assert said(transcript)[-1] == f"{verb} closed"
    assert relay.opened == 1


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO"])
async def test_a_cut_before_any_message_sends_none(verb: str) -> None:
    async with ScriptedRelay({verb: CUT}) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
    last = transcript.exchanges[-1]
    assert last.stage == verb
    assert isinstance(last.answer, Fault)
    assert last.answer.kind in (FaultKind.CLOSED, FaultKind.UNREACHABLE)


async def test_nobody_listens() -> None:
    relay = ScriptedRelay()
    await relay.start()
    await relay.stop()
    async with pool_at(relay) as pool:
        transcript = await send(pool)
    answer = transcript.exchanges[-1].answer
    assert answer == Fault(FaultKind.UNREACHABLE, "connection refused")


async def test_a_name_that_does_not_resolve_is_said_so() -> None:
    async with ScriptedRelay() as relay, pool_at(relay, host="nowhere.invalid") as pool:
        transcript = await send(pool)
    answer = transcript.exchanges[-1].answer
    assert answer == Fault(FaultKind.UNREACHABLE, "the host name does not resolve")


async def test_a_cut_in_the_content_is_before_the_dot() -> None:
    async with ScriptedRelay({"BODY": CUT}) as relay, pool_at(relay) as pool:
        transcript = await send(pool, content=LARGE * 100)
    assert said(transcript)[-2:] == ["DATA 354", "DATA closed"]
    assert relay.messages == []


@pytest.mark.parametrize("content", [TEXT, LARGE])
async def test_without_leave_no_dot_is_sent_and_nothing_is_delivered(content: bytes) -> None:
    kind = FaultKind.LEASE_LOST
    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        transcript = await send(pool, content=content, may_dot=lambda: Fault(kind))
        await relay.until(lambda: relay.open == 0, "we hung up")
        assert pool.facts.open == 0
    assert transcript.exchanges[-1].answer == Fault(kind)
    assert transcript.exchanges[-1].command == ""
    assert said(transcript)[-1] == f"DOT {kind}"
    assert relay.messages == []


async def test_leave_is_asked_after_a_large_content_left_and_before_its_dot() -> None:
    received: list[int] = []

    def may_dot() -> None:
        received.append(len(relay.messages))

    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        await send(pool, content=LARGE, may_dot=may_dot)
    assert received == [0]
    assert relay.messages[0].octets == LARGE


@pytest.mark.parametrize("word", ["552 5.3.4 too much", "421 4.3.2 going"])
async def test_a_refusal_in_the_middle_of_the_content_is_heard(word: str) -> None:
    async with (
        ScriptedRelay({"BODY": Say(word, cut=False)}) as relay,
        pool_at(relay) as pool,
    ):
        transcript = await send(pool, content=LARGE * 100)
        assert said(transcript)[-2:] == ["DATA 354", f"DATA {word[:3]}"]
        assert pool.facts.open == 0


async def test_eight_megabytes_arrive_as_they_were() -> None:
    content = (b"..x\r\n.\r\n" + b"y" * 990 + b"\r\n") * 8400
    assert len(content) > 8_000_000
    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        transcript = await send(pool, content=content)
    assert said(transcript)[-1] == "DOT 250"
    assert relay.messages[0].octets == content
