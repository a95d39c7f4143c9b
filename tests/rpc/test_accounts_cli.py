"""`mailproxy account`: options become fields, policies change in parts, no secret is an option."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from mailproxy_server.cli.root import app
from typer.testing import CliRunner, Result

from tests.support.served import TOKEN, front_on

OAUTH = ("--username", "u", "--oauth-token-url", "https://login.example.com/token")


def run(target: str, *arguments: str, stdin: str | None = None) -> Result:
    environment = {"MAILPROXY_TARGET": target, "MAILPROXY_TOKEN": TOKEN, "COLUMNS": "200"}
    return CliRunner().invoke(app, ("account", *arguments), env=environment, input=stdin)


class Shell:
    """The command, as somebody types it at this server."""

    def __init__(self, target: str):
        self._target = target

    async def __call__(self, *arguments: str, stdin: str | None = None) -> Result:
        return await asyncio.to_thread(run, self._target, *arguments, stdin=stdin)

    async def set(self, *arguments: str, stdin: str | None = None) -> dict[str, Any]:
        done = await self("set", "a", *arguments, "--json", stdin=stdin)
        assert done.exit_code == 0, done.output
        return dict(json.loads(done.stdout))


@pytest.fixture
async def shell(database_url: str) -> AsyncIterator[Shell]:
    async with front_on(database_url) as front:
        yield Shell(front.address)


async def test_a_preset_is_set_and_what_is_given_overrides_it(shell: Shell) -> None:
    made = await shell.set("--preset", "m365", "--limit", "20/min:messages", "--max-connections=1")
    assert (made["host"], made["port"], made["max_connections"]) == ("smtp.office365.com", 587, 1)
    assert [limit["count"] for limit in made["limits"]] == ["20"]
    moved = await shell.set("--preset", "ses", "--region", "eu-west-1")
    assert moved["host"] == "email-smtp.eu-west-1.amazonaws.com"
    assert moved["limits"] == []


async def test_limits_are_replaced_together_and_cleared(shell: Shell) -> None:
    made = await shell.set(
        "--host", "h.example", "--limit", "5/s", "--limit", "10_000/day:messages"
    )
    assert made["limits"] == [
        {"count": "5", "window": "1s", "unit": "RATE_UNIT_RECIPIENTS"},
        {"count": "10000", "window": "86400s", "unit": "RATE_UNIT_MESSAGES"},
    ]
    after = await shell.set("--limit", "7/hour", "--limit-behavior", "reject", "--rate-group", "g")
    assert [limit["window"] for limit in after["limits"]] == ["3600s"]
    assert (after["limit_behavior"], after["rate_group"]) == ("LIMIT_BEHAVIOR_REJECT", "g")
    assert (await shell.set("--no-limits"))["limits"] == []


async def test_each_retry_option_keeps_the_others(shell: Shell) -> None:
    await shell.set("--host", "h.example", "--retry-first", "30s", "--retry-attempts", "5")
    after = await shell.set("--retry-cap", "10m", "--retry-jitter", "0", "--retry-age", "2d")
    assert after["retry"] == {
        "first_delay": "30s",
        "factor": 2.0,
        "max_delay": "600s",
        "jitter": 0.0,
        "max_attempts": 5,
        "max_age": "172800s",
    }


async def test_fallbacks_and_capture(shell: Shell) -> None:
    for name in ("b", "c"):
        assert (await shell("set", name, "--host", "h.example")).exit_code == 0
    chosen = ("--fallback", "b", "--fallback", "c", "--failover-patience", "0s", "--capture")
    made = await shell.set("--host", "h.example", *chosen)
    assert made["fallback_account_ids"] == ["b", "c"]
    assert (made["failover_patience"], made["capture"]) == ("0s", True)
    after = await shell.set("--no-fallbacks", "--no-capture")
    assert (after["fallback_account_ids"], after["capture"]) == ([], False)


async def test_secrets_come_from_stdin_or_a_file_and_are_shown_nowhere(
    shell: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "refresh"
    file.write_text("refresh-canary\n")
    made = await shell.set(
        *("--host", "h.example", *OAUTH, "--oauth-client-id", "app", "--oauth-scope", "mail"),
        *("--oauth-secret-stdin", "--oauth-refresh-token-file", str(file)),
        stdin="secret-canary\n",
    )
    grant = made["oauth"]
    assert (grant["has_client_secret"], grant["has_refresh_token"]) == (True, True)
    after = await shell.set("--oauth-scope", "other")
    assert (after["oauth"]["client_id"], after["oauth"]["scope"]) == ("app", "other")
    shown = await shell("show", "a")
    assert (
        "app at https://login.example.com/token with a secret and a refresh token" in shown.stdout
    )
    assert "canary" not in str(made) + str(after) + shown.stdout
    refused = await shell("set", "a", "--password-stdin", stdin="p\n")
    assert (refused.exit_code, "account.password" in refused.stderr) == (1, True)
    swapped = await shell.set("--password-stdin", "--no-oauth", stdin="p\n")
    assert (swapped["has_password"], swapped.get("oauth")) == (True, None)
    assert not (await shell.set("--no-password", "--username", ""))["has_password"]


async def test_an_etag_that_is_old_stops_set_and_delete(shell: Shell) -> None:
    old = (await shell.set("--host", "h.example"))["etag"]
    new = (await shell.set("--max-connections", "2", "--etag", old))["etag"]
    for command in (("set", "a", "--max-connections", "3"), ("delete", "a")):
        stale = await shell(*command, "--etag", old)
        assert (stale.exit_code, "ETAG_MISMATCH" in stale.stderr) == (1, True)
    assert (await shell("delete", "a", "--etag", new)).exit_code == 0


async def test_show_says_limits_and_retries_in_words(shell: Shell) -> None:
    await shell.set("--preset", "gmail", "--retry-attempts", "9")
    shown = (await shell("show", "a")).stdout
    assert "2000/day:messages, then defer" in shown
    assert "after 1m, each delay 2 times the last, at most 1h, ±25%, for 5d or 9 attempts" in shown


@pytest.mark.parametrize(
    "arguments",
    [
        ("--limit", "30"),
        ("--limit", "30/week"),
        ("--limit", "30/min:bytes"),
        ("--limit", "1/s", "--no-limits"),
        ("--limit-behavior", "drop"),
        ("--retry-first", "soon"),
        ("--fallback", "b", "--no-fallbacks"),
        ("--preset", "hotmail"),
        ("--preset", "ses"),
        ("--region", "eu-west-1"),
        ("--no-password", "--password-stdin"),
        ("--no-oauth", "--oauth-scope", "x"),
        ("--oauth-secret-stdin", "--oauth-secret-file", "-"),
        ("--oauth-secret-file", "/nonexistent"),
        ("--oauth-secret", "s3cret"),
        ("--etag", "r1"),
    ],
)
def test_wrong_usage_is_2_and_says_so_before_anything_is_asked(arguments: tuple[str, ...]) -> None:
    ended = run("127.0.0.1:1", "set", "a", *arguments, stdin="x")
    assert ended.exit_code == 2, ended.output


def test_two_secrets_cannot_both_be_read_from_stdin() -> None:
    both = ("--password-stdin", "--oauth-secret-stdin")
    ended = run("127.0.0.1:1", "set", "a", *both, stdin="s3cret\n")
    assert (ended.exit_code, "s3cret" in ended.output) == (2, False)


def test_presets_are_listed_with_their_sources() -> None:
    shown = run("127.0.0.1:1", "presets").stdout
    assert "smtp.office365.com" in shown
    assert "https://docs.aws.amazon.com/ses/latest/dg/quotas.html" in shown
    assert set(json.loads(run("127.0.0.1:1", "presets", "--json").stdout)) >= {"ses", "gmail"}
