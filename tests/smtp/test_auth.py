"""Credentials: said by the strongest mechanism there is, never noted, refused without harm."""

from typing import Any

import pytest
from mailproxy_server.mail.transcript import Fault, FaultKind, Reply, Stage

from tests.smtp.speaking import hasty, pool_at, relay_at, said, send
from tests.support.relay import CUT, SILENCE, Say, ScriptedRelay
from tests.support.relay_script import Script

RIGHT = ("shop@a.test", "pa55wörd")
ACCOUNT: dict[str, Any] = {"username": RIGHT[0], "password": RIGHT[1]}


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ("AUTH PLAIN LOGIN", "PLAIN"),
        ("AUTH LOGIN", "LOGIN"),
        ("AUTH=LOGIN PLAIN", "PLAIN"),
        ("AUTH LOGIN PLAIN XOAUTH2 CRAM-MD5", "CRAM-MD5"),
        ("AUTH GSSAPI DIGEST-MD5 LOGIN", "LOGIN"),
    ],
)
async def test_the_right_credentials_are_said_the_strongest_way_and_never_noted(
    offered: str, chosen: str
) -> None:
    ehlo = f"250-relay.test\n250-PIPELINING\n250 {offered}"
    async with (
        ScriptedRelay({"EHLO": ehlo}, credentials=RIGHT) as relay,
        pool_at(relay, **ACCOUNT) as pool,
    ):
        transcript = await send(pool)
    assert said(transcript)[-1] == "DOT 250"
    (auth,) = [e for e in transcript.exchanges if e.stage is Stage.AUTH]
    assert auth.command == f"AUTH {chosen}"
    assert auth.answer == Reply(235, "2.7.0", "welcome")
    assert f"{relay.lines('AUTH')[0]} ".startswith(auth.command + " ")


async def test_wrong_credentials_are_said_once_and_no_mail_follows() -> None:
    async with (
        ScriptedRelay(credentials=("shop@a.test", "other")) as relay,
        pool_at(relay, **ACCOUNT) as pool,
    ):
        transcript = await send(pool)
        await relay.until(lambda: relay.open == 0, "we hung up")
    assert transcript.exchanges[-1].answer == Reply(535, "5.7.8", "wrong user or password")
    assert relay.verbs() == ["EHLO", "AUTH"]


@pytest.mark.parametrize("challenge", ["334 no base64!", "334 ", "334"])
async def test_a_challenge_that_is_none_is_no_welcome(challenge: str) -> None:
    script = {"EHLO": "250-relay.test\n250 AUTH CRAM-MD5 PLAIN", "AUTH": challenge}
    async with (
        ScriptedRelay(script, credentials=RIGHT) as relay,
        pool_at(relay, timeouts=hasty("session", 0.4), **ACCOUNT) as pool,
    ):
        transcript = await send(pool)
    assert transcript.exchanges[-1].stage is Stage.AUTH
    assert isinstance(transcript.exchanges[-1].answer, Fault)
    assert "MAIL" not in relay.verbs()


@pytest.mark.parametrize("answer", ["334 and now?", "250 2.0.0 fine"])
async def test_only_235_ends_an_auth_well(answer: str) -> None:
    async with (
        ScriptedRelay({"AUTH": answer}, credentials=RIGHT) as relay,
        pool_at(relay, **ACCOUNT) as pool,
    ):
        last = (await send(pool)).exchanges[-1]
    assert last.answer == Fault(FaultKind.PROTOCOL, f"{answer[:3]} does not end an AUTH")
    assert "MAIL" not in relay.verbs()


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("kept", [1000, 40])
async def test_what_a_relay_repeats_of_the_credentials_is_taken_out(
    mechanism: str, kept: int
) -> None:
    script: Script = {
        "EHLO": f"250-relay.test\n250 AUTH {mechanism}",
        "AUTH": lambda seen: f"500 5.3.3 Unrecognized command '{seen.line[:kept]}' {RIGHT[1]}",
    }
    async with ScriptedRelay(script, credentials=RIGHT) as relay, pool_at(relay, **ACCOUNT) as pool:
        answer = (await send(pool)).exchanges[-1].answer
    assert isinstance(answer, Reply)
    assert answer.text.startswith(f"Unrecognized command 'AUTH {mechanism} ")
    assert RIGHT[1] not in answer.text
    if mechanism == "PLAIN":
        assert relay.lines("AUTH")[0].split()[2][:20] not in answer.text


async def test_a_mechanism_offered_and_not_known_gives_way_to_the_other() -> None:
    script = {"AUTH": ["504 5.5.4 not that one", None]}
    async with ScriptedRelay(script, credentials=RIGHT) as relay, pool_at(relay, **ACCOUNT) as pool:
        transcript = await send(pool)
    assert said(transcript)[-1] == "DOT 250"
    assert [line.split()[1] for line in relay.lines("AUTH")] == ["PLAIN", "LOGIN"]


@pytest.mark.parametrize("offered", ["PIPELINING", "AUTH GSSAPI XOAUTH2"])
async def test_a_relay_with_no_mechanism_of_ours_is_a_fault(offered: str) -> None:
    async with ScriptedRelay(extensions=(offered,)) as relay, pool_at(relay, **ACCOUNT) as pool:
        last = (await send(pool)).exchanges[-1]
    assert last.stage is Stage.AUTH
    assert isinstance(last.answer, Fault)
    assert last.answer.kind is FaultKind.AUTH


@pytest.mark.parametrize("turn", [CUT, SILENCE, "454 4.7.0 later", "421 4.7.0 going"])
async def test_an_auth_that_breaks_off_is_the_end(turn: Say | str) -> None:
    async with (
        ScriptedRelay({"AUTH": turn}, credentials=RIGHT) as relay,
        pool_at(relay, timeouts=hasty("session", 0.4), **ACCOUNT) as pool,
    ):
        transcript = await send(pool)
        await relay.until(lambda: relay.open == 0, "we hung up")
    assert transcript.exchanges[-1].stage is Stage.AUTH
    assert "MAIL" not in relay.verbs()


async def test_nothing_that_is_kept_or_shown_holds_the_password() -> None:
    async with ScriptedRelay(credentials=RIGHT) as relay, pool_at(relay, **ACCOUNT) as pool:
        transcript, verified = await send(pool), await pool.verify()
    shown = repr((transcript, verified, relay_at(relay, **ACCOUNT)))
    coded = [line.split()[2] for line in relay.lines("AUTH")]
    assert not [word for word in (RIGHT[1], *coded) if word in shown]


async def test_verify_says_what_the_relay_offers_and_takes_leave() -> None:
    async with ScriptedRelay(credentials=RIGHT) as relay, pool_at(relay, **ACCOUNT) as pool:
        verified = await pool.verify()
        assert pool.facts.open == 0
    assert verified.ok
    assert "SIZE 33554432" in verified.capabilities
    assert [e.stage for e in verified.exchanges] == ["CONNECT", "EHLO", "AUTH", "QUIT"]
    assert relay.verbs()[-1] == "QUIT"


async def test_verify_names_what_went_wrong() -> None:
    async with (
        ScriptedRelay(credentials=("a", "b")) as relay,
        pool_at(relay, **ACCOUNT) as pool,
    ):
        verified = await pool.verify()
    assert (verified.ok, verified.stage) == (False, Stage.AUTH)
    assert isinstance(verified.problem, Reply)
    assert verified.problem.code == 535
