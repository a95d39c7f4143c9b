"""A client in a second language, from the proto files alone: it submits and streams."""

import base64
import os
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from google.rpc import status_pb2

from tests.support.calling import told_by
from tests.support.debian import require
from tests.support.foreign import Place, call, served
from tests.support.serving import ROOT

pytestmark = [
    pytest.mark.needs_debian("nodejs", "npm"),
    pytest.mark.asyncio(loop_scope="module"),
]
CACHE = Path(sys.prefix) / "npm-cache"
"""Below the environment, so that `make clean` takes it away and nothing lands in a home."""
HERE = Path(__file__).with_name("node")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(lasting_data_dir: Path) -> AsyncIterator[Place]:
    async with served(lasting_data_dir) as one:
        yield one


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def told(place: Place) -> dict[str, Any]:
    """What the client saw."""
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(HERE / name, place.folder)
    how = ("--ignore-scripts", "--prefer-offline", "--cache", CACHE)
    installed = await call(place.folder, require("npm"), "ci", *how, **os.environ)
    assert installed.code == 0, installed.err
    protos = (ROOT / "proto", ROOT / "third_party/googleapis")
    client = (require("nodejs"), "client.mjs", place.address, place.token, *protos)
    done = await call(place.folder, *client, RELAY_PORT=str(place.relay.port))
    found: dict[str, Any] = done.json
    return found


async def test_it_submits_and_a_repeat_is_the_same_message(told: dict[str, Any]) -> None:
    assert told["one"]["message_id"]
    assert [one["state"] for one in told["one"]["recipients"]] == ["DELIVERY_STATE_QUEUED"] * 2
    assert told["again"]["message_id"] == told["one"]["message_id"]
    assert told["again"]["replayed"]


async def test_a_batch_has_a_result_for_each(told: dict[str, Any]) -> None:
    first, bad, last = told["batch"]["results"]
    assert first["response"]["message_id"] != last["response"]["message_id"]
    assert (bad["result"], bad["error"]["code"]) == ("error", 3)


async def test_it_streams_every_report_without_a_gap(told: dict[str, Any]) -> None:
    seen = told["seen"]
    assert [int(one["offset"]) for one in seen] == list(range(1, len(seen) + 1))
    events = {one["recipient"]: one["event"] for one in seen if one["final"]}
    assert events == {
        "ann@b.test": "REPORT_EVENT_SENT",
        "550@b.test": "REPORT_EVENT_FAILED",
        "bob@b.test": "REPORT_EVENT_SENT",
        "eve@b.test": "REPORT_EVENT_SENT",
    }


async def test_it_reads_a_rich_error(told: dict[str, Any]) -> None:
    status = status_pb2.Status.FromString(base64.b64decode(told["refused"]["status"]))
    assert (told["refused"]["code"], told["refused"]["message"]) == (3, status.message)
    assert told_by(status).fields == ("email.composed.to[0].address",)


async def test_the_mail_arrives_as_it_was_meant(place: Place, told: dict[str, Any]) -> None:
    relay = place.relay
    mine = [m for m in relay.messages if m.header("X-Mailproxy-Id") == told["one"]["message_id"]]
    assert [one.recipients for one in mine] == [("ann@b.test",)]
    assert base64.b64encode(b"\x00\xff") in mine[0].octets


async def test_the_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (HERE / "package-lock.json").read_text()
