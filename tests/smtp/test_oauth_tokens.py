"""Access tokens: got once for all who ask, renewed in time, and asked for in one place only."""

import asyncio
from typing import Any

import pytest
from aiohttp import web
from mailproxy_server.mail.transcript import Fault, FaultKind
from mailproxy_server.smtp import endpoint
from mailproxy_server.smtp.oauth import EARLY, FAILED_FOR, Token, TokenSource
from mailproxy_server.smtp.relay import OauthGrant

from tests.support.certificates import certificates
from tests.support.token_endpoint import TokenEndpoint, issued, refused

SECRET, REFRESH = "client-s3cret-canary", "refresh-t0ken-canary"


class Clock:
    """Time as a test tells it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def grant_at(tokens: TokenEndpoint, **more: str) -> OauthGrant:
    return OauthGrant(tokens.url, "app-1", "mail.send", SECRET, **more)


def text_of(token: Token | Fault) -> str:
    assert isinstance(token, Token), token
    return token.text


async def test_a_refresh_token_is_used_where_there_is_one_and_gives_way_to_a_new_one() -> None:
    clock, told = Clock(), []

    async def renewed(old: str, new: str) -> None:
        told.append((old, new))

    def answer(number: int) -> dict[str, Any]:
        return issued(number, refresh_token="second") if number == 1 else issued(number)

    async with TokenEndpoint(answer) as tokens:
        source = TokenSource(grant_at(tokens, refresh_token=REFRESH), renewed, clock)
        await source.token()
        clock.now += 3600
        assert text_of(await source.token()) == "token-2"
    assert [form["grant_type"] for form in tokens.forms] == ["refresh_token"] * 2
    assert [form["refresh_token"] for form in tokens.forms] == [REFRESH, "second"]
    assert told == [(REFRESH, "second")]


@pytest.mark.parametrize(
    ("life", "renewed_after"), [(3600.0, 3600 - EARLY), (100.0, 50.0), (600.0, 300.0)]
)
async def test_a_token_is_renewed_before_it_expires_and_not_sooner(
    life: float, renewed_after: float
) -> None:
    clock = Clock()
    async with TokenEndpoint(lambda number: issued(number, life)) as tokens:
        source = TokenSource(grant_at(tokens), clock=clock)
        await source.token()
        clock.now += renewed_after - 0.1
        assert text_of(await source.token()) == "token-1"
        clock.now += 0.1
        assert text_of(await source.token()) == "token-2"
    assert len(tokens.forms) == 2


async def test_one_request_serves_all_who_ask_and_outlives_who_gives_up() -> None:
    async with TokenEndpoint() as tokens:
        tokens.gate.clear()
        source = TokenSource(grant_at(tokens))
        asking = [asyncio.create_task(source.token()) for _ in range(20)]
        async with asyncio.timeout(10):
            await tokens.asked.wait()
        asking.pop(0).cancel()
        tokens.gate.set()
        got = await asyncio.gather(*asking)
    assert {text_of(token) for token in got} == {"token-1"}
    assert len(tokens.forms) == 1


async def test_a_renewal_that_fails_leaves_the_old_token_until_it_expires() -> None:
    clock = Clock()

    def answer(number: int) -> Any:
        return issued(1) if number == 1 else web.Response(status=503)

    async with TokenEndpoint(answer) as tokens:
        source = TokenSource(grant_at(tokens), clock=clock)
        await source.token()
        clock.now += 3600 - EARLY
        assert text_of(await source.token()) == "token-1"
        clock.now += EARLY
        fault = await source.token()
    assert isinstance(fault, Fault)
    assert (fault.kind, fault.detail.endswith("answered 503")) == (FaultKind.UNREACHABLE, True)


async def test_a_failure_is_the_answer_for_some_seconds() -> None:
    clock = Clock()
    async with TokenEndpoint(
        lambda number: refused("invalid_client", 401) if number == 1 else issued(number)
    ) as tokens:
        source = TokenSource(grant_at(tokens), clock=clock)
        assert await source.token() == await source.token()
        assert len(tokens.forms) == 1
        clock.now += FAILED_FOR
        assert text_of(await source.token()) == "token-2"


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (lambda _: refused("invalid_client", 401), FaultKind.AUTH, "401 (invalid_client)"),
        (lambda _: refused("invalid_grant"), FaultKind.AUTH, "400 (invalid_grant)"),
        (lambda _: refused(SECRET, 403), FaultKind.AUTH, "403"),
        (lambda _: web.Response(status=404), FaultKind.AUTH, "404"),
        (lambda _: web.Response(status=429), FaultKind.UNREACHABLE, "429"),
        (lambda _: web.Response(status=500, text=SECRET), FaultKind.UNREACHABLE, "500"),
        (lambda _: web.Response(text="<html>"), FaultKind.PROTOCOL, "access token"),
        (lambda _: web.Response(text="[1]"), FaultKind.PROTOCOL, "access token"),
        (lambda _: issued(1, token_type="mac"), FaultKind.PROTOCOL, "access token"),
        (lambda _: issued(1, access_token="a\1b"), FaultKind.PROTOCOL, "access token"),
        (lambda _: issued(1, access_token="a" * 9000), FaultKind.PROTOCOL, "access token"),
        (lambda _: issued(1, padding="x" * 300_000), FaultKind.PROTOCOL, "access token"),
    ],
)
async def test_what_an_endpoint_answers_means(answer: Any, kind: FaultKind, words: str) -> None:
    async with TokenEndpoint(answer) as tokens:
        fault = await TokenSource(grant_at(tokens)).token()
    assert isinstance(fault, Fault)
    assert fault.kind is kind
    assert fault.detail.endswith(words)
    assert SECRET not in fault.detail


async def test_a_redirect_is_not_followed_and_no_proxy_gets_the_secret(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with TokenEndpoint() as other, TokenEndpoint() as tokens:
        monkeypatch.setenv("HTTP_PROXY", other.url)
        monkeypatch.setenv("http_proxy", other.url)
        assert text_of(await TokenSource(grant_at(tokens)).token()) == "token-1"
        tokens.answer = lambda _: web.Response(status=307, headers={"Location": other.url})
        fault = await TokenSource(grant_at(tokens)).token()
        assert other.forms == []
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.AUTH


async def test_an_endpoint_that_is_silent_away_or_not_trusted_gets_no_secret() -> None:
    async with TokenEndpoint() as tokens:
        tokens.gate.clear()
        silent = await endpoint.ask(grant_at(tokens), timeout=0.3)
    gone = await endpoint.ask(grant_at(tokens))
    async with TokenEndpoint(tls=certificates().server) as impostor:
        untrusted = await endpoint.ask(grant_at(impostor))
        assert impostor.forms == []
    faults = [fault for fault in (silent, gone, untrusted) if isinstance(fault, Fault)]
    assert [fault.kind for fault in faults] == [
        FaultKind.TIMEOUT,
        FaultKind.UNREACHABLE,
        FaultKind.TLS,
    ]
