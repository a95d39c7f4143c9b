"""XOAUTH2: what connections do with tokens, and that nobody gets to see one."""

import asyncio
from typing import Any

from mailproxy_server.mail.transcript import Fault, FaultKind, Reply, Stage
from mailproxy_server.smtp.oauth import TokenSource
from mailproxy_server.smtp.relay import OauthGrant

from tests.smtp.speaking import pool_at, said, send
from tests.support.relay import ScriptedRelay
from tests.support.token_endpoint import TokenEndpoint, issued, refused

SECRET, REFRESH = "client-s3cret-canary", "refresh-t0ken-canary"


def grant_at(tokens: TokenEndpoint, **more: str) -> OauthGrant:
    return OauthGrant(tokens.url, "app-1", "mail.send", SECRET, **more)


def account_at(tokens: TokenEndpoint, **more: str) -> dict[str, Any]:
    return {"username": "shop@a.test", "oauth": grant_at(tokens, **more)}


async def test_client_credentials_get_a_token_that_all_connections_use() -> None:
    async with (
        TokenEndpoint() as tokens,
        ScriptedRelay(tokens={"token-1"}) as relay,
        pool_at(relay, **account_at(tokens)) as pool,
    ):
        transcripts = await asyncio.gather(*(send(pool) for _ in range(4)))
    assert [said(each)[-1] for each in transcripts] == ["DOT 250"] * 4
    assert relay.peak == 4
    assert tokens.forms == [
        {
            "grant_type": "client_credentials",
            "client_id": "app-1",
            "client_secret": SECRET,
            "scope": "mail.send",
        }
    ]


async def test_a_revoked_token_gives_way_to_a_fresh_one_on_the_same_connection() -> None:
    async with (
        TokenEndpoint() as tokens,
        ScriptedRelay(tokens={"token-1"}) as relay,
        pool_at(relay, max_messages_per_connection=1, **account_at(tokens)) as pool,
    ):
        await send(pool)
        relay.tokens = {"token-2"}
        transcript = await send(pool)
    answers = [e.answer for e in transcript.exchanges if e.stage is Stage.AUTH]
    assert [answer.code for answer in answers if isinstance(answer, Reply)] == [535, 235]
    assert said(transcript)[-1] == "DOT 250"
    assert (relay.opened, len(tokens.forms)) == (2, 2)


async def test_a_fresh_token_that_is_refused_is_refused_once_and_not_used_again() -> None:
    async with (
        TokenEndpoint() as tokens,
        ScriptedRelay(tokens=set()) as relay,
        pool_at(relay, **account_at(tokens)) as pool,
    ):
        transcript = await send(pool)
        assert transcript.exchanges[-1].answer == Reply(535, "5.7.8", "wrong user or password")
        assert relay.verbs() == ["EHLO", "AUTH"]
        relay.tokens = {"token-2"}
        assert said(await send(pool))[-1] == "DOT 250"
    assert len(tokens.forms) == 2


async def test_a_relay_without_xoauth2_is_a_fault_and_the_endpoint_is_not_asked() -> None:
    async with (
        TokenEndpoint() as tokens,
        ScriptedRelay(credentials=("shop@a.test", "p")) as relay,
        pool_at(relay, **account_at(tokens)) as pool,
    ):
        last = (await send(pool)).exchanges[-1]
    assert last.answer == Fault(FaultKind.AUTH, "AUTH XOAUTH2 is needed; offered: PLAIN LOGIN")
    assert tokens.forms == []


async def test_no_token_means_no_auth_and_no_mail_and_says_who_refused() -> None:
    async with (
        TokenEndpoint(lambda _: refused("invalid_client", 401)) as tokens,
        ScriptedRelay(tokens={"token-1"}) as relay,
        pool_at(relay, **account_at(tokens)) as pool,
    ):
        verified = await pool.verify()
    assert (verified.ok, verified.stage) == (False, Stage.AUTH)
    assert isinstance(verified.problem, Fault)
    assert "refused: 401 (invalid_client)" in verified.problem.detail
    assert relay.verbs() == ["EHLO"]


async def test_nothing_that_is_kept_or_shown_holds_a_secret_or_a_token() -> None:
    def repeats(seen: Any) -> str:
        return f"500 5.3.3 Unrecognized command '{seen.line[:64]}' token-1"

    async with (
        TokenEndpoint(lambda n: issued(n, refresh_token="new-canary")) as tokens,
        ScriptedRelay({"AUTH": [None, repeats]}, tokens={"token-1"}) as relay,
        pool_at(
            relay, max_messages_per_connection=1, **account_at(tokens, refresh_token=REFRESH)
        ) as pool,
    ):
        source = TokenSource(grant_at(tokens, refresh_token=REFRESH))
        said_of = (await send(pool), await send(pool), await pool.verify(), await source.token())
        shown = repr((said_of, pool.relay))
    coded = [line.split()[2][:20] for line in relay.lines("AUTH")]
    assert "Unrecognized command" in shown
    canaries = (SECRET, REFRESH, "new-canary", "token-1", "token-2", *coded)
    assert not [word for word in canaries if word in shown]
