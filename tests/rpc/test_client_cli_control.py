"""The commands that look at messages and at the queue, and change what waits."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from mailproxy_server.cli.root import app
from mailproxy_server.mail.delivery import Outcome, Reason
from typer.testing import CliRunner, Result

from tests.support.emails import composed
from tests.support.fake_server import FakeServer
from tests.support.served import TOKEN, Front, queue_of

NEWS = ("--label", "kind=news")
ID = "0195f0c2-6e0b-7c3a-8000-123456789abc"


def run(target: str, *arguments: str) -> Result:
    environment = {"MAILPROXY_TARGET": target, "MAILPROXY_TOKEN": TOKEN, "COLUMNS": "200"}
    return CliRunner().invoke(app, arguments, env=environment)


async def told(front: Front, *arguments: str) -> str:
    """Run a command that must succeed, and give what it prints."""
    ended = await asyncio.to_thread(run, front.address, *arguments)
    assert ended.exit_code == 0, ended.output
    return ended.stdout


async def as_json(front: Front, *arguments: str) -> Any:
    return json.loads(await told(front, *arguments, "--json"))


async def submit(front: Front, **labels: str) -> str:
    return (await front.first.submit(composed({"labels": labels}))).message_id


async def test_messages_are_listed_for_people_and_for_programs(front: Front) -> None:
    ids = [await submit(front, kind=kind) for kind in ("news", "code")]
    shown = await told(front, "message", "list")
    assert shown.index(ids[1]) < shown.index(ids[0])
    assert "1 queued" in shown
    (one,) = await as_json(front, "message", "list", *NEWS)
    assert (one["message_id"], one["labels"]) == (ids[0], {"kind": "news"})
    assert await as_json(front, "message", "list", "--state", "failed") == []
    assert len(await as_json(front, "message", "list", "--since", "1h", "--limit", "1")) == 1
    assert await as_json(front, "message", "list", "--before", "1h") == []


async def test_a_message_is_rescheduled_explained_and_cancelled(front: Front) -> None:
    sent = await submit(front)
    moved = await told(front, "message", "reschedule", sent, "--send-at", "2h")
    assert "Rescheduled: 1; in progress: 0" in moved
    explained = await told(front, "message", "explain", sent)
    assert "send_time" in explained
    assert "no dispatcher is alive" in explained
    (recipient,) = (await as_json(front, "message", "explain", sent))["recipients"]
    assert [each["kind"] for each in recipient["waits"]] == [
        "WAIT_KIND_SCHEDULE",
        "WAIT_KIND_DISPATCHER",
    ]
    gone = await told(front, "message", "cancel", sent)
    assert "Cancelled: 1; in progress: 0" in gone
    again = await as_json(front, "message", "cancel", sent)
    assert again["recipients"][0]["result"] == "CANCEL_RESULT_ALREADY_FINAL"
    late = await asyncio.to_thread(
        run, front.address, "message", "reschedule", sent, "--send-at", "2h"
    )
    assert late.exit_code == 1
    assert "RetryMessage" in late.stderr


async def test_what_carries_a_label_is_cancelled(front: Front) -> None:
    await submit(front, kind="news")
    await submit(front, kind="code")
    assert (await as_json(front, "message", "cancel", *NEWS))["cancelled"] == "1"


async def test_a_failed_message_is_retried(front: Front) -> None:
    sent = await submit(front)
    async with queue_of(front, front.first) as queue:
        await queue.settle(await queue.claim(), Outcome.failed(Reason.RECIPIENT_REFUSED))
    found = await told(front, "message", "retry", sent, "--expire-at", "1d")
    assert "Back in the queue: 1" in found
    assert "QUEUED" in found
    assert (await as_json(front, "message", "retry", sent))["requeued"] == 0


async def test_the_queue_is_paused_shown_and_resumed(front: Front) -> None:
    await submit(front, kind="news")
    held = await told(front, "queue", "pause", *NEWS, "--note", "the list was wrong")
    assert "Held: 1; in progress, not stopped: 0" in held
    assert (await as_json(front, "queue", "pause", "--account", "demo"))["held"] == "1"
    for command in (("status",), ("queue", "status")):
        shown = await told(front, *command)
        assert "the list was wrong" in shown
        assert "kind=news" in shown
        assert "paused" in shown
    status = await as_json(front, "status")
    assert [each["held"] for each in status["accounts"]] == ["1"]
    assert status["accounts"][0]["health"]["paused"]
    assert "Released: 1" in await told(front, "queue", "resume", *NEWS)
    assert (await as_json(front, "queue", "resume", "--account", "demo"))["resumed"]
    assert "No such pause" in await told(front, "queue", "resume", "--account", "demo")


async def test_what_waits_is_hurried(front: Front) -> None:
    sent = await submit(front)
    await told(front, "message", "reschedule", sent, "--send-at", "2h")
    assert "Made due: 0" in await told(front, "run-now", "--retries")
    assert "Made due: 1" in await told(front, "run-now", "--scheduled", "--message", sent)


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


@pytest.mark.parametrize(
    "arguments",
    [
        ("message", "explain"),
        ("message", "explain", ID, "--request-id", "r"),
        ("message", "cancel"),
        ("message", "cancel", ID, "--account", "demo"),
        ("message", "cancel", "--request-id", "r", *NEWS),
        ("message", "retry"),
        ("message", "reschedule", ID),
        ("message", "reschedule", ID, "--send-at", "tomorrow"),
        ("message", "list", "--since", "yesterday"),
        ("message", "list", "--limit", "0"),
        ("queue", "pause"),
        ("queue", "resume", "--label", "kind"),
    ],
)
def test_wrong_usage_is_2_and_reaches_no_server(
    server: FakeServer, arguments: tuple[str, ...]
) -> None:
    ended = run(server.target, *arguments)
    assert ended.exit_code == 2, ended.output
    assert not server.calls
