import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from mailproxy_server.cli.root import app
from typer.testing import CliRunner, Result

from tests.support.fake_server import FakeServer, status
from tests.support.relay import ScriptedRelay, Seen
from tests.support.served import TOKEN, dispatching, front_on

SEND = ("send", "--from", "Ann <a@x.test>", "--to", "b@y.test", "--text", "Hello")


def run(target: str, *arguments: str, token: str = TOKEN, stdin: str | None = None) -> Result:
    environment = {"MAILPROXY_TARGET": target, "MAILPROXY_TOKEN": token, "COLUMNS": "200"}
    return CliRunner().invoke(app, arguments, env=environment, input=stdin)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.mark.parametrize(
    ("refusal", "code", "remedy"),
    [
        (status(grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"), 4, "--token-file FILE"),
        (status(grpc.StatusCode.UNAVAILABLE, "DRAINING", retry_after=60), 3, "mailproxy status"),
        (status(grpc.StatusCode.INTERNAL, "INTERNAL"), 1, "mailproxy status"),
    ],
)
def test_an_error_has_its_exit_code_and_ends_with_what_mends_it(
    server: FakeServer, refusal: Any, code: int, remedy: str
) -> None:
    server.refuse = lambda method, request: refusal
    ended = run(server.target, "status")
    assert ended.exit_code == code
    assert remedy in ended.stderr.splitlines()[-1]
    assert ended.stderr.splitlines()[-1].startswith("Try: ")
    assert ended.stdout == ""


def test_no_server_is_said_at_once_and_names_the_command_that_starts_one() -> None:
    ended = run("127.0.0.1:1", "status")
    assert ended.exit_code == 3
    assert ended.stderr.splitlines()[-1].startswith("Try: mailproxy serve")


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "--to", "b@y.test", "--text", "x"),
        ("send", "--from", "a@x.test", "--text", "x"),
        (*SEND, "--label", "novalue"),
        (*SEND, "--send-at", "tomorrow"),
        (*SEND, "--priority", "urgent"),
        (*SEND, "--text-file", "/dev/null"),
        (*SEND, "--eml", "/nonexistent"),
        ("account", "set", "demo"),
        ("account", "set", "demo", "--password", "--password-file", "-"),
        ("account", "set", "demo", "--password-file", "/nonexistent"),
        ("message", "show"),
        ("run-now", "--scheduled"),
        ("reports", "--since", "1h", "--from-cursor", "c"),
    ],
)
def test_wrong_usage_is_2_and_reaches_no_server(
    server: FakeServer, arguments: tuple[str, ...]
) -> None:
    ended = run(server.target, *arguments)
    assert ended.exit_code == 2, ended.output
    assert not server.calls


def test_an_unsure_submission_says_how_to_repeat_it_safely(server: FakeServer) -> None:
    away = status(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", retry_after=60)
    server.refuse = lambda method, request: away if method == "submit" else None
    ended = run(server.target, *SEND)
    assert ended.exit_code == 3
    assert f"--request-id {server.request_ids[0]}" in ended.stderr


def test_a_password_is_read_from_a_file_or_stdin_and_no_option_takes_it(tmp_path: Path) -> None:
    shown = run("127.0.0.1:1", "account", "set", "--help").stdout
    assert "--password-file" in shown
    ended = run("127.0.0.1:1", "account", "set", "x", "--password", "s3cret")
    assert ended.exit_code == 2


def refusing_550(seen: Seen) -> str | None:
    return "550 5.1.1 no \x1b[31msuch" if seen.address.startswith("550@") else None


@pytest.fixture
async def served(database_url: str) -> AsyncIterator[str]:
    async with (
        ScriptedRelay({"RCPT": refusing_550}) as relay,
        front_on(database_url) as front,
        dispatching(front),
    ):
        setting = ("--host", "127.0.0.1", "--port", str(relay.port), "--tls", "none")
        made = await asyncio.to_thread(run, front.address, "account", "set", "demo", *setting)
        assert made.exit_code == 0, made.output
        yield front.address


async def test_send_and_wait_prints_each_report_and_fails_when_one_did(served: str) -> None:
    good = await asyncio.to_thread(run, served, *SEND, "--wait")
    assert good.exit_code == 0, good.output
    assert good.stdout.startswith("Queued ")
    assert " SENT " in good.stdout
    bad = await asyncio.to_thread(run, served, *SEND, "--to", "550@y.test", "--wait", "--json")
    assert bad.exit_code == 1
    submitted, *reports = map(json.loads, bad.stdout.splitlines())
    assert {each["message_id"] for each in reports} == {submitted["message_id"]}
    assert {each["event"] for each in reports} == {"REPORT_EVENT_SENT", "REPORT_EVENT_FAILED"}


async def test_a_message_is_shown_with_its_dialogue_and_no_terminal_codes(served: str) -> None:
    sent = (*SEND, "--to", "550@y.test", "--request-id", "r", "--wait")
    await asyncio.to_thread(run, served, *sent)
    shown = await asyncio.to_thread(run, served, "message", "show", "--request-id", "r")
    assert shown.exit_code == 0, shown.output
    assert "> RCPT TO:<550@y.test>" in shown.stdout
    assert "< 550 5.1.1 no " in shown.stdout
    assert "\x1b[31msuch" not in shown.stdout
    watched = await asyncio.to_thread(run, served, "reports", "--event", "failed")
    assert "550@y.test" in watched.stdout
    assert len(watched.stdout.splitlines()) == 1


async def test_a_file_is_sent_as_it_is_to_those_whom_it_names(served: str, tmp_path: Path) -> None:
    path = tmp_path / "m.eml"
    path.write_text("From: q@x.test\nTo: Bob <b@y.test>\nBcc: c@y.test\n\nhello\n")
    sent = await asyncio.to_thread(run, served, "send", "--eml", str(path), "--wait", "--json")
    assert sent.exit_code == 0, sent.output
    assert len(sent.stdout.splitlines()) == 3
