"""With delivery_activity each thing that happens to a delivery is a line; addresses are masked."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from mailproxy import Message
from mailproxy.message import to_request

from tests.support.eventually import eventually
from tests.support.relay import ScriptedRelay
from tests.support.relay_script import Seen
from tests.support.replicas import client_of, replica


def by_recipient(seen: Seen) -> str | None:
    return "550 5.1.1 <failed@b.test> is no user" if "failed" in seen.line else None


def delivery_lines(text: str) -> list[dict[str, Any]]:
    parsed = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    return [line for line in parsed if line.get("kind") == "delivery"]


@pytest.mark.parametrize("addresses", [False, True])
async def test_each_thing_that_happens_to_a_delivery_is_a_line(
    addresses: bool, database_url: str, tmp_path: Path
) -> None:
    settings: dict[str, float | str] = {
        "delivery_activity": "true",
        "log_addresses": addresses,
        "log_level": "info",
    }
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    async with (
        ScriptedRelay({"RCPT": by_recipient}) as relay,
        replica(tmp_path, database_url, settings=settings) as run,
        client_of(run) as client,
    ):
        await client.update_account(
            "shop", allow_missing=True, host="127.0.0.1", port=relay.port, tls="none"
        )
        recipients = ["ann@b.test", "failed@b.test"]
        wanted = to_request(Message(from_address="a@a.test", to=recipients, text="x"))
        wanted.traceparent = trace
        sent = await client.submit_request(wanted)
        await eventually(lambda: len(delivery_lines(run.err)) >= 3, "three lines", seconds=20)
        lines = delivery_lines(run.err)
        text = run.err
    assert [line["event"] for line in lines] == ["attempt", "sent", "failed"]
    for line in lines:
        assert line["message_id"] == sent.message_id
        assert line["account"] == "shop"
        assert line["trace_id"] == trace.split("-")[1]
        assert line["process"] == "dispatcher-1"
    attempt, ok, failed = lines
    assert (attempt["stage"], attempt["code"]) == ("DOT", 250)
    assert (ok["recipient_domain"], ok["code"], ok["attempt"]) == ("b.test", 250, 1)
    assert (failed["code"], failed["enhanced"]) == (550, "5.1.1")
    assert failed["reason"] == "RECIPIENT_REFUSED"
    assert ("ann@b.test" in text) is addresses
    assert ("failed@b.test> is no user" in text) is addresses


async def test_it_is_off_by_default(database_url: str, tmp_path: Path) -> None:
    async with (
        ScriptedRelay({}) as relay,
        replica(tmp_path, database_url, settings={"log_level": "info"}) as run,
        client_of(run) as client,
    ):
        await client.update_account(
            "shop", allow_missing=True, host="127.0.0.1", port=relay.port, tls="none"
        )
        sent = await client.submit(from_address="a@a.test", to="b@b.test", text="x")
        await asyncio.wait_for(sent.wait(), 20)
        assert delivery_lines(run.err) == []
