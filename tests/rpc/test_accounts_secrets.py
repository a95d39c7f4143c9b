import asyncio
import json

import asyncpg
import pytest
from mailproxy.v1 import account_pb2 as pb
from mailproxy.v1 import delivery_pb2
from mailproxy_server.accounts.account import Secrets, relay_fields
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.vault import Vault, VaultError
from mailproxy_server.mail.transcript import Exchange, Fault, FaultKind, Reply, Stage
from mailproxy_server.smtp.verify import Verified

from tests.support.accounts import Desk, desk_on, engine_of


async def verify(desk: Desk, account_id: str = "a") -> pb.VerifyAccountResponse:
    request = pb.VerifyAccountRequest(account_id=account_id)
    return await desk.servicer.VerifyAccount(request, desk.call)


async def test_the_dispatcher_gets_the_password_and_the_table_does_not(database_url: str) -> None:
    async with desk_on(database_url) as desk:
        await desk.create("a", username="u", password="s3cret-pässword")
        found = await desk.accounts.credentials(desk.tenant_id, "a")
        assert found is not None
        account, secrets = found
        assert (account.has_password, secrets.password) == (True, "s3cret-pässword")
        assert "s3cret" not in repr(found)
        assert relay_fields(account, secrets)["password"] == "s3cret-pässword"
        assert relay_fields(account, secrets)["ehlo_name"]
        assert await desk.accounts.credentials(desk.tenant_id, "b") is None
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT * FROM mailproxy.accounts")
    await connection.close()
    assert "s3cret" not in json.dumps([dict(row) for row in rows], default=repr)


async def test_another_key_is_told_apart_from_a_missing_password(database_url: str) -> None:
    async with desk_on(database_url) as desk, engine_of(database_url) as engine:
        await desk.create("a", username="u", password="p")
        await desk.create("b")
        other = Accounts(engine, Vault(bytes(32)))
        with pytest.raises(VaultError, match="MAILPROXY_SECRET_KEY differs"):
            await other.credentials(desk.tenant_id, "a")
        found = await other.credentials(desk.tenant_id, "b")
        assert found is not None
        assert found[1] == Secrets()
        answer = await verify(Desk(other, desk.tenant_id))
    assert not answer.ok
    assert "MAILPROXY_SECRET_KEY" in answer.problem


async def test_verify_uses_the_password_and_shows_the_dialogue(database_url: str) -> None:
    exchanges = (
        Exchange(Stage.CONNECT, "", Reply(220, "", "ready"), 3),
        Exchange(Stage.AUTH, "AUTH PLAIN", Reply(235, "2.7.0", "ok"), 9),
    )
    async with desk_on(database_url) as desk:
        desk.answer = Verified(True, exchanges, ("SIZE 10",), "TLSv1.3")
        await desk.create("a", username="u", password="p")
        answer = await verify(desk)
        assert [secrets.password for _, secrets in desk.asked] == ["p"]
    assert answer.ok
    assert (list(answer.capabilities), answer.tls_version) == (["SIZE 10"], "TLSv1.3")
    assert [(one.stage, one.reply.code, one.elapsed_ms) for one in answer.exchanges] == [
        ("CONNECT", 220, 3),
        ("AUTH", 235, 9),
    ]


@pytest.mark.parametrize(
    ("stage", "said", "reason", "words"),
    [
        (Stage.AUTH, Reply(535, "5.7.8", "no"), "RELAY_AUTH", "535 5.7.8 no"),
        (Stage.AUTH, Fault(FaultKind.AUTH, "no mechanism"), "RELAY_AUTH", "account set a"),
        (Stage.AUTH, Fault(FaultKind.TIMEOUT, "60 s"), "RELAY_UNREACHABLE", "timeout: 60 s"),
        (Stage.STARTTLS, Reply(454, "", "later"), "RELAY_TLS", "454 later"),
        (Stage.CONNECT, Fault(FaultKind.TLS, "self-signed"), "RELAY_TLS", "tls_ca_certificates"),
        (Stage.CONNECT, Fault(FaultKind.UNREACHABLE), "RELAY_UNREACHABLE", "relay.example:587"),
        (Stage.CONNECT, Reply(554, "", "go away"), "RELAY_UNREACHABLE", "554 go away"),
    ],
)
async def test_a_failed_verification_says_why_and_what_to_do(
    database_url: str, stage: Stage, said: Reply | Fault, reason: str, words: str
) -> None:
    async with desk_on(database_url) as desk:
        desk.answer = Verified(False, (Exchange(stage, "", said),), problem=said)
        await desk.create("a")
        answer = await verify(desk)
    assert not answer.ok
    assert delivery_pb2.FailureReason.Name(answer.reason) == f"FAILURE_REASON_{reason}"
    assert words in answer.problem


async def test_a_change_is_announced_with_tenant_and_account(database_url: str) -> None:
    heard: asyncio.Queue[object] = asyncio.Queue()
    listener = await asyncpg.connect(database_url)
    await listener.add_listener("mailproxy_accounts", lambda *args: heard.put_nowait(args[-1]))
    try:
        async with desk_on(database_url) as desk, asyncio.timeout(10):
            account = pb.Account(account_id="a", host="h.example")
            await desk.manage(pb.ACCOUNT_ACTION_CREATE, account, validate_only=True)
            before = await desk.create("a")
            assert await heard.get() == f"{desk.tenant_id}/a"
            await desk.update("a", max_connections=2)
            assert await heard.get() == f"{desk.tenant_id}/a"
            await desk.manage(pb.ACCOUNT_ACTION_DELETE, pb.Account(account_id="a"))
            assert await heard.get() == f"{desk.tenant_id}/a"
            assert before.etag
        assert heard.empty()
    finally:
        await listener.close()
