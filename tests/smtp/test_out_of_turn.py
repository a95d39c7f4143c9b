"""A relay that does not keep to the protocol: the connection is never used again."""

import pytest

from tests.smtp.speaking import pool_at, said, send
from tests.support.relay import Say, ScriptedRelay


@pytest.mark.parametrize(
    "reply",
    [
        "hello",
        "999 what",
        "25",
        "2500 x",
        "250-a\n251 b",
        "\x00\x01",
        "150 begun",
    ],
)
@pytest.mark.parametrize("verb", ["MAIL", "DATA"])
async def test_what_is_not_a_reply_ends_the_connection(verb: str, reply: str) -> None:
    async with ScriptedRelay({verb: Say(reply)}) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
        assert pool.facts.open == 0
    assert said(transcript)[-1] == f"{verb} protocol"
    assert relay.messages == []


async def test_what_is_not_a_reply_after_the_dot_leaves_the_outcome_open() -> None:
    async with ScriptedRelay({"DOT": "nonsense"}) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
    assert said(transcript)[-1] == "DOT protocol"
    assert len(relay.messages) == 1


@pytest.mark.parametrize(
    ("verb", "reply"),
    [("MAIL", "354 go on"), ("RCPT", "334 x"), ("DATA", "250 Ok"), ("DOT", "354 go on")],
)
async def test_a_good_reply_to_another_question_is_none(verb: str, reply: str) -> None:
    async with ScriptedRelay({verb: reply}) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
        assert pool.facts.open == 0
    assert said(transcript)[-1] == f"{verb} protocol"


async def test_a_reply_too_many_forbids_the_dot() -> None:
    script = {"DATA": Say("354 go on", extra=b"250 2.0.0 Ok: queued as X\r\n")}
    async with ScriptedRelay(script) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
        assert pool.facts.open == 0
    assert said(transcript)[-1] == "DATA protocol"
    assert relay.messages == []


async def test_words_after_the_last_reply_retire_the_connection() -> None:
    script = {"DOT": [Say("250 2.0.0 Ok", extra=b"250 again\r\n"), None]}
    async with ScriptedRelay(script) as relay, pool_at(relay) as pool:
        first, second = await send(pool), await send(pool)
    assert (said(first)[-1], said(second)[-1]) == ("DOT 250", "DOT 250")
    assert [message.connection for message in relay.messages] == [1, 2]


async def test_a_reply_without_end_is_given_up() -> None:
    script = {"MAIL": "\n".join(["250-" + "x" * 70] * 2000) + "\n250 end"}
    async with ScriptedRelay(script) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
    assert said(transcript) == ["MAIL protocol"]


async def test_long_and_odd_words_are_kept_within_bounds() -> None:
    words = "550 5.1.1 " + "é" * 3000 + "\x00\x1b\x7f"
    async with ScriptedRelay({"MAIL": words}) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
    reply = transcript.exchanges[2].answer
    assert getattr(reply, "truncated", None) is True
    assert set(getattr(reply, "text", "")) == {"é"}
    assert len(getattr(reply, "text", "").encode()) <= 2048
