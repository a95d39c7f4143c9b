"""A relay that says no: what is noted, and that the connection goes on being used."""

import pytest

from tests.smtp.speaking import pool_at, said, send
from tests.support.relay import ScriptedRelay, Seen

both = pytest.mark.parametrize("pipelining", [True, False])


def no_ann(seen: Seen) -> str | None:
    return "550 5.1.1 no such user" if "ann@" in seen.line else None


@both
@pytest.mark.parametrize("code", [451, 552, 554])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_after_a_refusal_the_next_message_goes_over_the_same_connection(
    verb: str, code: int, pipelining: bool
) -> None:
    script = {verb: [f"{code} {code // 100}.0.0 not now", None]}
    async with ScriptedRelay(script) as relay, pool_at(relay, pipelining=pipelining) as pool:
        refused, accepted = await send(pool), await send(pool)
        assert pool.facts.opened == 1
    assert f"{verb} {code}" in said(refused)
    assert "DOT 250" not in said(refused)
    assert said(accepted)[-1] == "DOT 250"
    assert relay.open == 0


@both
async def test_a_refused_recipient_of_an_accepted_message_keeps_its_reply(pipelining: bool) -> None:
    async with (
        ScriptedRelay({"RCPT": no_ann}) as relay,
        pool_at(relay, pipelining=pipelining) as pool,
    ):
        transcript = await send(pool, "ann@b.test", "bob@b.test")
    assert said(transcript) == ["MAIL 250", "RCPT 550", "RCPT 250", "DATA 354", "DOT 250"]
    assert relay.messages[0].recipients == ("bob@b.test",)


async def test_a_354_after_all_recipients_were_refused_gets_a_lone_dot() -> None:
    script = {"RCPT": "550 5.1.1 no", "DATA": ["354 go on", None]}
    async with ScriptedRelay(script) as relay, pool_at(relay) as pool:
        transcript = await send(pool, "ann@b.test", "bob@b.test")
        again = await send(pool)
    assert said(transcript) == ["MAIL 250", "RCPT 550", "RCPT 550", "DATA 354", "DOT 554"]
    assert relay.messages[0].octets == b""
    assert said(again)[0] == "MAIL 250"
    assert relay.opened == 1


async def test_an_unfinished_transaction_is_reset_before_the_next_and_only_then() -> None:
    script = {"DATA": ["451 4.3.0 later", None]}
    async with ScriptedRelay(script) as relay, pool_at(relay) as pool:
        for _ in range(3):
            await send(pool)
    message = ["MAIL", "RCPT", "DATA"]
    assert relay.verbs() == ["EHLO", *message, "RSET", *message, *message, "QUIT"]


@both
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "DOT"])
async def test_a_connection_that_said_421_is_not_used_again(verb: str, pipelining: bool) -> None:
    script = {verb: ["250 2.0.0 Ok" if verb != "DATA" else "354 go on", "421 4.3.2 going", None]}
    async with ScriptedRelay(script) as relay, pool_at(relay, pipelining=pipelining) as pool:
        await send(pool)
        middle, last = await send(pool), await send(pool)
    if verb == "MAIL":  # a rested connection: nothing was handed over, so a fresh one was asked
        assert said(middle)[-1] == "DOT 250"
    else:
        assert f"{verb} 421" in said(middle)
    assert said(last)[-1] == "DOT 250"
    assert relay.opened == 2


async def test_a_421_to_mail_on_a_fresh_connection_is_the_answer() -> None:
    async with ScriptedRelay({"MAIL": "421 4.7.0 slow down"}) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
    assert said(transcript)[0] == "MAIL 421"
    assert relay.opened == 1


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO"])
async def test_a_relay_that_refuses_the_session_is_told_nothing_more(verb: str) -> None:
    async with ScriptedRelay({verb: "554 5.7.1 not you"}) as relay, pool_at(relay) as pool:
        transcript = await send(pool)
        await relay.until(lambda: relay.open == 0, "we hung up")
    last = transcript.exchanges[-1]
    assert (last.stage, getattr(last.answer, "code", None)) == (verb, 554)
    assert transcript.mail_sent_ms is None
    assert "MAIL" not in relay.verbs()
    assert pool.facts.open == 0
