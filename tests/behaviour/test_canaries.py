"""Secrets in every field that may hold one, then every way to fail: none is ever seen, in output,
spans, metrics, the page, reports, errors, `diagnose`, and every table of the database."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from mailproxy import AsyncMailProxyClient, Attachment, MailProxyError, Message
from mailproxy.accounts import DkimKeyFields
from mailproxy_server.settings import Settings
from pydantic import SecretStr

from tests.support.canaries import Cage
from tests.support.collector import Collector, collecting
from tests.support.diagnosing import Doctor
from tests.support.origin import Origin
from tests.support.relay import ScriptedRelay
from tests.support.relay_script import Seen
from tests.support.replicas import replica
from tests.support.serving import Run
from tests.support.token_endpoint import TokenEndpoint


def echo(seen: Seen) -> str:
    """A relay that repeats what it was told, credentials and all."""
    return f"535 5.7.8 I do not like {seen.line}"


@dataclass
class Scene:
    """A server, what it says, and what was seen of it."""

    cage: Cage
    url: str
    run: Run
    client: AsyncMailProxyClient
    collector: Collector
    said: list[str] = field(default_factory=list)

    def hear(self, what: object) -> None:
        self.said.append(f"{what} {what!r}")

    async def fails(self, doing: Any) -> None:
        """Do what must fail, and keep its error."""
        with pytest.raises(MailProxyError) as caught:
            await doing
        self.hear(caught.value)
        self.hear(vars(caught.value))

    async def account(self, name: str, port: int, **fields: Any) -> None:
        made = await self.client.update_account(
            name, allow_missing=True, host="127.0.0.1", port=port, tls="none", **fields
        )
        self.hear(made)

    async def attempt(self, account: str, **fields: Any) -> None:
        """Submit, and wait until something is said of it."""
        letter = {"from_address": "a@a.test", "to": "b@b.test", "text": "x", "account": account}
        sent = await self.client.submit(**cast(Message, letter | fields))
        async with asyncio.timeout(20):
            while True:
                got = await self.client.get_message(sent.message_id, include_attempts=True)
                status = (await self.client.queue_status(account)).accounts[0]
                if got.attempts or got.recipients[0].attempts or status.health.breaker == 2:
                    break
                await asyncio.sleep(0.05)
        self.hear(got)
        self.hear(status)


@asynccontextmanager
async def scene(url: str, folder: Path) -> AsyncIterator[Scene]:
    cage = Cage()
    async with collecting() as collector:
        through = url.replace("mailproxy@", f"mailproxy:{cage.database}@")
        settings: dict[str, float | str] = {
            "bootstrap_token": cage.token,
            "http_token": cage.http_token,
            "secret_key": cage.key,
            "log_level": "debug",
            "delivery_activity": "true",
            "log_addresses": "true",
            "trace_sql": "true",
            "egress_allow": "127.0.0.1",
        }
        async with (
            replica(folder, through, settings=settings, variables=collector.environment) as run,
            AsyncMailProxyClient(run.grpc, cage.token, timeout=30) as client,
        ):
            yield Scene(cage, url, run, client, collector)


async def test_no_secret_is_ever_seen(database_url: str, tmp_path: Path) -> None:
    async with (
        scene(database_url, tmp_path) as here,
        ScriptedRelay({"AUTH": echo}, credentials=("u", "another")) as relay,
    ):
        await at_the_relay(here, relay)
        await at_the_token_endpoint(here, relay)
        await at_attachment_endpoints(here)
        await at_the_edge(here)
        await over_http(here)
        await with_a_broken_database(here)
        here.hear(await Doctor(here.url, {"MAILPROXY_SECRET_KEY": here.cage.key}).says())
        await here.collector.until(
            lambda: any(span.kind == "CONSUMER" for span in here.collector.spans), "spans"
        )
        here.hear(here.collector.octets.decode("latin-1"))
        async for report in here.client.delivery_reports(follow=False):
            here.hear(report)
        tables = await everything_in(here.url)
        spoken = "".join(here.said) + here.run.out + here.run.err
        names = {span.name for span in here.collector.spans}
        assert {"postgresql settle", "smtp transaction", "send auth"} <= names
        assert len(here.run.err) > 2_000
        assert "535 5.7.8 I do not like" in spoken, "what the relay said is there, without it"
        assert here.cage.seen(spoken) == []
        assert here.cage.seen(tables) == [], "at rest they are sealed, or a digest"
        assert here.cage.seen(base64.b64encode(here.cage.password.encode()).decode()) == [
            "password"
        ], "the cage knows its birds in another form"


async def at_the_relay(here: Scene, relay: ScriptedRelay) -> None:
    cage = here.cage
    key = {"domain": "a.test", "selector": "s", "private_key": cage.dkim}
    await here.account("auth", relay.port, username="u", password=cage.password, dkim_keys=[key])
    await here.attempt("auth")
    here.hear(await here.client.verify_account("auth"))
    await here.account("down", 1, username="u", password=cage.password)
    await here.attempt("down")
    bad = DkimKeyFields(domain="a.test", selector="s", private_key=f"-----{cage.password}")
    await here.fails(here.client.update_account("auth", dkim_keys=[bad]))
    await here.fails(here.client.update_account("auth", password=cage.password + "\n"))


async def at_the_token_endpoint(here: Scene, relay: ScriptedRelay) -> None:
    cage = here.cage

    def answer(number: int) -> web.Response:
        said = {"error": "invalid_grant", "error_description": f"{cage.refresh_token} is old"}
        return web.json_response(said, status=400)

    async with TokenEndpoint(answer) as tokens:
        grant = {
            "token_url": tokens.url, "client_id": "c", "client_secret": cage.client_secret,
            "refresh_token": cage.refresh_token,
        }  # fmt: skip
        relay_script = {"AUTH": echo}
        async with ScriptedRelay(relay_script, tokens={"none"}) as other:
            await here.account("oauth", other.port, username="u", oauth=grant)
            await here.attempt("oauth")
            tokens.answer = lambda number: {
                "access_token": cage.access_token, "token_type": "Bearer", "expires_in": 60,
            }  # fmt: skip
            here.hear(await here.client.verify_account("oauth"))


async def at_attachment_endpoints(here: Scene) -> None:
    async def refuse(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500, text=str(dict(request.headers)))

    async with Origin({"/files": refuse}) as origin, ScriptedRelay({}) as relay:
        endpoints = [
            {"name": kind, "url": origin.url("/files"), "auth": kind, "secret": here.cage.endpoint}
            for kind in ("bearer", "header", "basic")
        ]
        endpoints[1]["header_name"] = "X-Api-Key"
        endpoints[2]["username"] = "u"
        await here.account("files", relay.port, attachment_endpoints=endpoints)
        for kind in ("bearer", "header", "basic"):
            await here.attempt("files", attachments=[Attachment("a.txt", endpoint=kind)])


async def at_the_edge(here: Scene) -> None:
    async with AsyncMailProxyClient(here.run.grpc, here.cage.wrong_token) as stranger:
        await here.fails(stranger.get_account("auth"))
    await here.fails(here.client.submit(from_address="a@a.test", to="b", text="x"))
    for name in ("auth", "oauth", "files"):
        here.hear(await here.client.get_account(name))


async def over_http(here: Scene) -> None:
    port = here.run.out.split("http=")[1].split()[0]
    bearer = {"authorization": f"Bearer {here.cage.http_token}"}
    wrong = {"authorization": f"Bearer {here.cage.wrong_http_token}"}
    async with aiohttp.ClientSession() as http:
        async with http.get(f"http://{port}/api/about", headers=bearer) as answer:
            about = await answer.json()
        tenant = about["tenants"][0]["id"]
        for path in ("/", "/metrics", "/api/about", "/nothing"):
            for headers in (bearer, wrong):
                async with http.get(f"http://{port}{path}", headers=headers) as answer:
                    here.hear(await answer.text())
                    here.hear(dict(answer.headers))
        for call in ("AccountService/ListAccounts", "QueueService/GetQueueStatus"):
            url = f"http://{port}/api/call/{call}?tenant={tenant}"
            async with http.post(url, json={}, headers=bearer) as answer:
                assert answer.status == 200
                here.hear(json.dumps(await answer.json()))


async def with_a_broken_database(here: Scene) -> None:
    """Statements fail, and so do the calls that need them."""
    link = await asyncpg.connect(here.url)
    await link.execute("ALTER TABLE mailproxy.messages RENAME TO gone")
    await link.execute("ALTER TABLE mailproxy.accounts RENAME TO gone_too")
    client = AsyncMailProxyClient(here.run.grpc, here.cage.token, retry=False, timeout=10)
    async with client:
        await here.fails(client.get_account("auth"))
        await here.fails(client.update_account("auth", password=here.cage.password))
        await here.fails(client.submit(from_address="a@a.test", to="b@b.test", text="x"))
    await link.execute("ALTER TABLE mailproxy.gone RENAME TO messages")
    await link.execute("ALTER TABLE mailproxy.gone_too RENAME TO accounts")
    await link.close()


async def everything_in(url: str) -> str:
    """Give all tables as text; octets in hex."""
    link = await asyncpg.connect(url)
    names = await link.fetch(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind IN ('r', 'p') "
        "AND relnamespace = 'mailproxy'::regnamespace"
    )
    texts = [
        await link.fetchval(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {name[0]} t")
        for name in names
    ]
    await link.close()
    return "\n".join(texts)


def test_settings_show_no_secret() -> None:
    cage = Cage()
    settings = Settings(
        database_url=SecretStr(f"postgresql://u:{cage.database}@h/d"),
        secret_key=SecretStr(cage.key),
        bootstrap_token=SecretStr(cage.token),
        http_token=SecretStr(cage.http_token),
    )
    assert cage.seen(f"{settings} {settings!r} {settings.model_dump()}") == []
