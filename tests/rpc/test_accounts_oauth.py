"""OAuth grants: sealed, never given back, kept only for the place that they are for."""

import json
from typing import Any

import asyncpg
import pytest
from mailproxy.v1 import account_pb2 as pb
from mailproxy.v1 import delivery_pb2
from mailproxy_server.accounts.account import Secrets, relay_fields
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.vault import Vault
from mailproxy_server.mail.errors import InvalidFields

from tests.support.accounts import Desk, desk_on, engine_of
from tests.support.relay import ScriptedRelay
from tests.support.served import dispatching, front_on
from tests.support.token_endpoint import TokenEndpoint, issued

URL = "https://login.example.com/token"
SECRET, REFRESH = "client-s3cret-canary", "refresh-t0ken-canary"


def grant(**fields: Any) -> pb.OauthGrant:
    return pb.OauthGrant(**{"token_url": URL, "client_id": "app"} | fields)


async def secrets_of(desk: Desk, account_id: str = "a") -> Secrets:
    found = await desk.accounts.credentials(desk.tenant_id, account_id)
    assert found is not None
    return found[1]


async def rows_of(database_url: str) -> str:
    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch("SELECT * FROM mailproxy.accounts")
    await connection.close()
    return json.dumps([dict(row) for row in rows], default=repr)


async def test_secrets_reach_the_relay_and_neither_table_nor_answer(database_url: str) -> None:
    async with desk_on(database_url) as desk:
        made = await desk.create(
            "a",
            username="u",
            oauth=grant(client_secret=SECRET, refresh_token=REFRESH, scope="mail"),
        )
        assert made.oauth == grant(scope="mail", has_client_secret=True, has_refresh_token=True)
        found = await desk.accounts.credentials(desk.tenant_id, "a")
        assert found is not None
        assert found[1] == Secrets("", SECRET, REFRESH)
        assert relay_fields(*found)["oauth"] == {
            "token_url": URL,
            "client_id": "app",
            "scope": "mail",
            "client_secret": SECRET,
            "refresh_token": REFRESH,
        }
    shown = repr((found, made)) + await rows_of(database_url)
    assert not [word for word in (SECRET, REFRESH) if word in shown]


async def test_secrets_that_are_not_given_stay_while_they_go_to_the_same_place(
    database_url: str,
) -> None:
    async with desk_on(database_url) as desk:
        await desk.create("a", username="u", oauth=grant(client_secret=SECRET))
        after = await desk.update("a", oauth=grant(scope="other"))
        assert (after.oauth.scope, after.oauth.has_client_secret) == ("other", True)
        await desk.update("a", oauth=grant(refresh_token=REFRESH))
        assert await secrets_of(desk) == Secrets("", SECRET, REFRESH)
        for elsewhere in (grant(token_url=URL + "2"), grant(client_id="other")):
            with pytest.raises(InvalidFields, match="give the secrets anew"):
                await desk.update("a", oauth=elsewhere)
        await desk.update("a", oauth=grant(client_id="other", client_secret="new"))
        assert await secrets_of(desk) == Secrets("", "new", "")
        assert not (await desk.get("a")).oauth.has_refresh_token


async def test_password_and_grant_change_places_in_one_update_and_never_in_silence(
    database_url: str,
) -> None:
    async with desk_on(database_url) as desk:
        await desk.create("a", username="u", password="p")
        with pytest.raises(InvalidFields, match=r"account\.oauth: .* empty password"):
            await desk.update("a", oauth=grant(client_secret=SECRET))
        after = await desk.update("a", "oauth", "password", oauth=grant(client_secret=SECRET))
        assert (after.has_password, after.oauth.has_client_secret) == (False, True)
        with pytest.raises(InvalidFields, match=r"account\.password: .* empty oauth"):
            await desk.update("a", password="p")
        after = await desk.update("a", "oauth", "password", password="p")
        assert (after.has_password, after.HasField("oauth")) == (True, False)
        assert await secrets_of(desk) == Secrets("p")
        with pytest.raises(InvalidFields, match="not both"):
            await desk.create("b", username="u", password="p", oauth=grant(client_secret="s"))


async def test_a_deleted_account_leaves_no_secret_for_the_next_of_its_name(
    database_url: str,
) -> None:
    async with desk_on(database_url) as desk:
        await desk.create("a", username="u", oauth=grant(client_secret=SECRET))
        await desk.manage(pb.ACCOUNT_ACTION_DELETE, pb.Account(account_id="a"))
        with pytest.raises(InvalidFields, match="client_secret or a refresh_token is required"):
            await desk.create("a", username="u", oauth=grant())
        assert not (await desk.create("a")).HasField("oauth")


async def test_secrets_of_another_key_are_to_be_given_anew(database_url: str) -> None:
    async with desk_on(database_url) as desk, engine_of(database_url) as engine:
        await desk.create("a", username="u", oauth=grant(client_secret=SECRET))
        other = Desk(Accounts(engine, Vault(bytes(32))), desk.tenant_id)
        with pytest.raises(InvalidFields, match=r"give the secrets anew: .*MAILPROXY_SECRET_KEY"):
            await other.update("a", oauth=grant(scope="x"))
        both = grant(client_secret="new", refresh_token="newer")
        await other.update("a", oauth=both)
        assert await secrets_of(other) == Secrets("", "new", "newer")


async def test_a_renewed_refresh_token_is_kept_without_being_a_change(database_url: str) -> None:
    async with desk_on(database_url) as desk:
        made = await desk.create("a", username="u", oauth=grant(refresh_token=REFRESH))
        keep = desk.accounts.keep_refresh_token
        await keep(desk.tenant_id, "a", REFRESH, "second")
        assert await secrets_of(desk) == Secrets("", "", "second")
        await keep(desk.tenant_id, "a", REFRESH, "from another replica, late")
        assert await secrets_of(desk) == Secrets("", "", "second")
        assert await desk.get("a") == made
        await keep(desk.tenant_id, "gone", REFRESH, "x")
        await desk.update("a", "oauth", "username")
        await keep(desk.tenant_id, "a", "second", "third")
        assert not (await desk.get("a")).HasField("oauth")


async def test_mail_goes_out_by_xoauth2_and_a_new_refresh_token_is_stored(
    database_url: str,
) -> None:
    async with (
        TokenEndpoint(lambda number: issued(number, refresh_token=f"next-{number}")) as tokens,
        ScriptedRelay(tokens={"token-1"}) as relay,
        front_on(database_url) as front,
    ):
        oauth = grant(token_url=tokens.url, refresh_token=REFRESH)
        await front.first.make_account(relay.port, username="shop@a.test", oauth=oauth)
        await front.first.submit()
        async with dispatching(front):
            await relay.until(lambda: relay.messages, "the message arrived", seconds=20)
        async with engine_of(database_url) as engine:
            accounts = Accounts(engine, Vault(bytes(32)))
            found = await accounts.credentials(await front.tenant_of(front.first), "demo")
    assert found is not None
    assert found[1].refresh_token == "next-1"


async def test_verify_names_the_token_endpoint_that_refused(database_url: str) -> None:
    async with (
        TokenEndpoint(lambda number: {"error": SECRET}) as tokens,
        ScriptedRelay(tokens={"token-1"}) as relay,
        front_on(database_url) as front,
    ):
        oauth = grant(token_url=tokens.url, client_secret=SECRET)
        await front.first.make_account(relay.port, username="shop@a.test", oauth=oauth)
        request = pb.VerifyAccountRequest(account_id="demo")
        answer = await front.first.call(front.first.accounts.VerifyAccount, request)
    assert not answer.ok
    assert answer.reason == delivery_pb2.FAILURE_REASON_RELAY_UNREACHABLE
    assert "did not answer with an access token" in answer.problem
    assert SECRET not in str(answer)
