"""`mailproxy test-send` shows the login, the dialogue and the end of one mail."""

import asyncio

from mailproxy_server.cli.root import app
from typer.testing import CliRunner, Result

from tests.support.relay import ScriptedRelay
from tests.support.served import TOKEN, Front, dispatching, front_on


async def tried(front: Front, *arguments: str) -> Result:
    environment = {"MAILPROXY_TARGET": front.address, "MAILPROXY_TOKEN": TOKEN, "COLUMNS": "200"}
    return await asyncio.to_thread(
        CliRunner().invoke, app, ("test-send", *arguments), env=environment
    )


async def test_all_that_was_said_is_shown(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front, dispatching(front):
        await front.first.make_account(relay.port)
        done = await tried(front, "demo", "ann@b.test", "--from", "me@a.test")
        assert done.exit_code == 0, done.output
        for words in ("EHLO", "OK, without TLS", "MAIL FROM:<me@a.test>", "SENT", "trace "):
            assert words in done.output
        assert relay.messages[0].header("Subject") == "A test of gRPC Mail Proxy"
        sent = await front.link.fetchval("SELECT traceparent FROM mailproxy.messages")
        assert sent.split("-")[1] in done.output


async def test_a_relay_that_is_away_or_refuses_is_told(database_url: str) -> None:
    script = {"RCPT": "550 5.1.1 nobody here"}
    async with ScriptedRelay(script) as relay, front_on(database_url) as front, dispatching(front):
        await front.first.make_account(relay.port)
        await front.first.make_account(1, account_id="away")
        done = await tried(front, "demo", "ann@b.test", "--from", "me@a.test")
        assert done.exit_code == 1
        assert "550 5.1.1 nobody here" in done.output
        done = await tried(front, "away", "ann@b.test", "--from", "me@a.test")
        assert done.exit_code == 1
        assert "connection refused" in done.output


async def test_without_a_sender_it_is_from_the_login_or_else_to_oneself(database_url: str) -> None:
    login = ("shop@a.test", "p")
    async with (
        ScriptedRelay(credentials=login) as relay,
        front_on(database_url) as front,
        dispatching(front),
    ):
        await front.first.make_account(relay.port)
        await front.first.make_account(relay.port, "named", username=login[0], password=login[1])
        for account_id, sender in (("demo", "ann@b.test"), ("named", "shop@a.test")):
            done = await tried(front, account_id, "ann@b.test")
            assert done.exit_code == 0, done.output
            assert f"MAIL FROM:<{sender}>" in done.output
