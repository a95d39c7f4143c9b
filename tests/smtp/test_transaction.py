"""What goes over the wire, and what the transcript says of it."""

import pytest
from mailproxy_server.mail.transcript import Fault, FaultKind

from tests.smtp.speaking import TEXT, pool_at, said, send
from tests.support.relay import PLAIN, ScriptedRelay


@pytest.mark.parametrize("pipelining", [True, False])
async def test_a_message_arrives_byte_for_byte(pipelining: bool) -> None:
    async with ScriptedRelay() as relay, pool_at(relay, pipelining=pipelining) as pool:
        transcript = await send(pool, "ann@b.test", "bob@b.test")
    assert said(transcript) == ["MAIL 250", "RCPT 250", "RCPT 250", "DATA 354", "DOT 250"]
    assert transcript.relay_host == f"127.0.0.1:{relay.port}"
    assert transcript.mail_sent_ms is not None
    (message,) = relay.messages
    assert message.octets == TEXT
    assert message.recipients == ("ann@b.test", "bob@b.test")


async def test_the_transcript_begins_with_the_connection_only_where_it_was_opened() -> None:
    async with ScriptedRelay() as relay, pool_at(relay, ehlo_name="mx.a.test") as pool:
        first, second = await send(pool), await send(pool)
    assert [e.command for e in first.exchanges][:2] == [first.relay_host, "EHLO mx.a.test"]
    assert [e.stage for e in second.exchanges] == ["MAIL", "RCPT", "DATA", "DOT"]
    assert [e.recipient_no for e in second.exchanges] == [None, 0, None, None]
    assert second.exchanges[-1].command == "."


async def test_mail_and_rcpt_carry_what_the_relay_offers() -> None:
    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        await send(pool, "ann+x@b.test")
    size = len(TEXT)
    assert relay.lines("MAIL") == [f"MAIL FROM:<shop@a.test> SIZE={size} RET=HDRS ENVID=order-17"]
    assert relay.lines("RCPT") == ["RCPT TO:<ann+x@b.test> ORCPT=rfc822;ann+2Bx@b.test"]


async def test_nothing_is_asked_of_a_relay_that_offers_nothing() -> None:
    async with ScriptedRelay(extensions=()) as relay, pool_at(relay) as pool:
        transcript = await send(pool, return_path="")
    assert said(transcript)[-1] == "DOT 250"
    assert relay.lines("MAIL") == ["MAIL FROM:<>"]
    assert relay.lines("RCPT") == ["RCPT TO:<ann@b.test>"]


async def test_8_bit_content_and_utf8_addresses_are_declared() -> None:
    async with ScriptedRelay() as relay, pool_at(relay) as pool:
        await send(pool, "jürgen@b.test", eight_bit=True)
    assert " BODY=8BITMIME SMTPUTF8 " in relay.lines("MAIL")[0]
    assert relay.lines("RCPT") == ["RCPT TO:<jürgen@b.test>"]


@pytest.mark.parametrize(
    ("offered", "content", "needs", "kind"),
    [
        (("SIZE 30",), TEXT, {}, FaultKind.TOO_LARGE),
        (("SIZE 30",), b"x" * 29, {}, FaultKind.TOO_LARGE),
        ((), TEXT, {"eight_bit": True}, FaultKind.NEEDS_8BITMIME),
        ((), TEXT, {"utf8_headers": True}, FaultKind.NEEDS_SMTPUTF8),
        ((), TEXT, {"return_path": "ü@a.test"}, FaultKind.NEEDS_SMTPUTF8),
    ],
)
async def test_what_the_relay_cannot_take_is_never_offered_to_it(
    offered: tuple[str, ...], content: bytes, needs: dict[str, bool], kind: FaultKind
) -> None:
    async with ScriptedRelay(extensions=offered) as relay, pool_at(relay) as pool:
        transcript = await send(pool, content=content, **needs)  # type: ignore[arg-type]
        assert said(await send(pool, content=b"x\r\n"))[-1] == "DOT 250"
    assert said(transcript) == [f"MAIL {kind}"]
    assert transcript.mail_sent_ms is None
    assert relay.verbs() == ["EHLO", "MAIL", "RCPT", "DATA", "QUIT"]


async def test_a_recipient_that_needs_smtputf8_does_not_hold_up_the_others() -> None:
    offered = tuple(word for word in PLAIN if word != "SMTPUTF8")
    async with ScriptedRelay(extensions=offered) as relay, pool_at(relay) as pool:
        transcript = await send(pool, "ü@b.test", "bob@b.test")
    numbered = [(e.recipient_no, e.answer) for e in transcript.exchanges if e.stage == "RCPT"]
    assert [number for number, _ in numbered] == [0, 1]
    assert isinstance(numbered[0][1], Fault)
    assert relay.messages[0].recipients == ("bob@b.test",)


async def test_the_limits_of_rfc_9422_are_kept() -> None:
    limits = (*PLAIN, "LIMITS RCPTMAX=2 MAILMAX=1")
    async with ScriptedRelay(extensions=limits) as relay, pool_at(relay) as pool:
        transcript = await send(pool, "a@b.test", "b@b.test", "c@b.test")
        await send(pool)
    assert said(transcript).count("RCPT 250") == 2
    assert [message.connection for message in relay.messages] == [1, 2]
