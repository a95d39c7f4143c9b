"""TLS as the account asks for it, or no mail and no credentials."""

from typing import Any

import pytest
import trustme
from mailproxy_server.mail.transcript import Fault, FaultKind, Stage
from mailproxy_server.smtp.relay import Tls

from tests.smtp.speaking import hasty, pool_at, said, send
from tests.support.certificates import certificates
from tests.support.relay import CUT, SILENCE, Say, ScriptedRelay

SECRET: dict[str, Any] = {"username": "shop", "password": "pa55w0rd"}


@pytest.mark.parametrize("implicit", [False, True])
async def test_mail_goes_under_tls_to_a_relay_that_the_account_trusts(implicit: bool) -> None:
    shown = certificates()
    tls = Tls.IMPLICIT if implicit else Tls.STARTTLS
    async with (
        ScriptedRelay(tls=shown.server, implicit=implicit) as relay,
        pool_at(relay, tls=tls, tls_ca_certificates=shown.authority) as pool,
    ):
        first, second = await send(pool), await send(pool, content=b"x" * 300_000)
        verified = await pool.verify()
    assert said(first)[-1] == said(second)[-1] == "DOT 250"
    assert all(seen.tls for seen in relay.commands if seen.verb == "MAIL")
    assert relay.opened == 2
    assert (verified.ok, verified.tls_version) == (True, "TLSv1.3")
    assert "STARTTLS" not in verified.capabilities


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize(
    ("names", "expired", "words"),
    [
        (("mx.other.test",), False, "mismatch"),
        ((), True, "expired"),
    ],
)
async def test_a_certificate_that_does_not_fit_is_refused(
    names: tuple[str, ...], expired: bool, words: str, implicit: bool
) -> None:
    shown = certificates(*names, expired=expired)
    tls = Tls.IMPLICIT if implicit else Tls.STARTTLS
    async with (
        ScriptedRelay(tls=shown.server, implicit=implicit, credentials=("shop", "x")) as relay,
        pool_at(relay, tls=tls, tls_ca_certificates=shown.authority, **SECRET) as pool,
    ):
        fault = (await send(pool)).exchanges[-1].answer
        await relay.until(lambda: relay.open == 0, "we hung up")
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.TLS
    assert words in fault.detail
    assert not {"AUTH", "MAIL"} & set(relay.verbs())


async def test_an_unknown_authority_is_refused_unless_the_account_skips_the_check() -> None:
    shown, other = certificates("mx.other.test"), trustme.CA()
    trusted = other.cert_pem.bytes().decode()
    async with ScriptedRelay(tls=shown.server) as relay:
        async with pool_at(relay, tls=Tls.STARTTLS, tls_ca_certificates=trusted) as pool:
            fault = (await send(pool)).exchanges[-1].answer
        async with pool_at(relay, tls=Tls.STARTTLS, tls_insecure_skip_verify=True) as pool:
            assert said(await send(pool))[-1] == "DOT 250"
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.TLS


async def test_authorities_that_cannot_be_read_are_a_fault_of_the_account() -> None:
    async with (
        ScriptedRelay() as relay,
        pool_at(relay, tls=Tls.STARTTLS, tls_ca_certificates="not PEM") as pool,
    ):
        fault = (await send(pool)).exchanges[-1].answer
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.TLS
    assert relay.opened == 0


async def test_a_relay_without_starttls_gets_neither_mail_nor_credentials() -> None:
    async with (
        ScriptedRelay(credentials=("shop", "pa55w0rd")) as relay,
        pool_at(relay, tls=Tls.STARTTLS, **SECRET) as pool,
    ):
        transcript = await send(pool)
    last = transcript.exchanges[-1]
    assert (last.stage, last.answer) == (
        Stage.STARTTLS,
        Fault(FaultKind.TLS, "the relay does not offer STARTTLS"),
    )
    assert relay.verbs() == ["EHLO"]


@pytest.mark.parametrize("extra", [b"250-injected\r\n250 AUTH PLAIN\r\n", b"250", b"\r\n"])
async def test_clear_text_after_the_220_of_starttls_ends_the_connection(extra: bytes) -> None:
    shown = certificates()
    script = {"STARTTLS": Say("220 2.0.0 go on", extra=extra)}
    async with (
        ScriptedRelay(script, tls=shown.server) as relay,
        pool_at(relay, tls=Tls.STARTTLS, tls_ca_certificates=shown.authority, **SECRET) as pool,
    ):
        last = (await send(pool)).exchanges[-1]
        await relay.until(lambda: relay.open == 0, "we hung up")
    assert last.stage is Stage.STARTTLS
    assert isinstance(last.answer, Fault)
    assert last.answer.kind is FaultKind.PROTOCOL
    assert relay.verbs() == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("turn", ["454 4.7.0 not now", CUT, SILENCE, "220-a\n221 b"])
async def test_a_starttls_that_fails_is_the_end(turn: Say | str) -> None:
    shown = certificates()
    async with (
        ScriptedRelay({"STARTTLS": turn}, tls=shown.server) as relay,
        pool_at(relay, tls=Tls.STARTTLS, timeouts=hasty("session", 0.4), **SECRET) as pool,
    ):
        last = (await send(pool)).exchanges[-1]
        await relay.until(lambda: relay.open == 0, "we hung up")
    assert last.stage is Stage.STARTTLS
    assert relay.verbs() == ["EHLO", "STARTTLS"]


async def test_a_relay_that_never_shakes_hands_is_given_up() -> None:
    async with (
        ScriptedRelay({"EHLO": "250-x\n250 STARTTLS"}) as relay,
        pool_at(relay, tls=Tls.STARTTLS, timeouts=hasty("session", 0.4)) as pool,
    ):
        transcript = await send(pool)
    assert [e.stage for e in transcript.exchanges][-2:] == [Stage.STARTTLS, Stage.STARTTLS]
    last = transcript.exchanges[-1].answer
    assert isinstance(last, Fault)
    assert last.kind is FaultKind.TLS
