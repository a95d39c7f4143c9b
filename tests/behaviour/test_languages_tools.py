"""grpcurl and `buf curl` do everything with the server by reflection alone."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.support.foreign import Place, served
from tests.support.foreign_tools import BufCurl, Grpcurl

pytestmark = pytest.mark.asyncio(loop_scope="module")

Tool = Grpcurl | BufCurl
TOOLS = ["grpcurl", "buf grpc-v1", "buf grpc-v1alpha"]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(lasting_data_dir: Path) -> AsyncIterator[Place]:
    async with served(lasting_data_dir) as one:
        yield one


@pytest_asyncio.fixture(params=TOOLS, loop_scope="module")
async def tool(request: pytest.FixtureRequest, place: Place) -> Tool:
    name, _, reflection = str(request.param).partition(" ")
    tool = BufCurl(place, reflection) if reflection else Grpcurl(place)
    account = {
        "account_id": name,
        "host": "127.0.0.1",
        "port": place.relay.port,
        "tls": "TLS_MODE_NONE",
    }
    made = {"action": "ACCOUNT_ACTION_UPDATE", "allow_missing": True, "account": account}
    answer = await tool.call("AccountService/ManageAccount", made)
    assert answer.json["account"]["account_id"] == name
    return tool


def email(tool: Tool, *to: str) -> dict[str, Any]:
    account = "grpcurl" if isinstance(tool, Grpcurl) else "buf"
    content = {
        "from_address": {"address": "shop@a.test"},
        "to": [{"address": one} for one in to],
        "subject": "Grüße",
        "text_body": "It is on its way.",
    }
    return {"account_id": account, "composed": content}


async def test_it_lists_every_service(tool: Tool) -> None:
    assert await tool.services() == [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
        "mailproxy.v1.AccountService",
        "mailproxy.v1.MessageService",
        "mailproxy.v1.QueueService",
        "mailproxy.v1.ReportService",
        "mailproxy.v1.TemplateService",
    ]


async def test_it_describes_a_service(tool: Tool) -> None:
    words = await tool.describe("MessageService")
    for name in ("SubmitMessage", "SubmitMessages", "WatchMessage", "GetMessage"):
        assert name in words


async def test_it_submits_and_reads_the_message_back(tool: Tool) -> None:
    sent = await tool.call("MessageService/SubmitMessage", {"email": email(tool, "ann@b.test")})
    message_id = sent.json["message_id"]
    await tool.place.relay.until(
        lambda: any(m.header("X-Mailproxy-Id") == message_id for m in tool.place.relay.messages),
        "the mail is at the relay",
    )
    got = await tool.call("MessageService/GetMessage", {"message_id": message_id})
    assert got.json["subject"] == "Grüße"


async def test_it_watches_a_message_to_its_end(tool: Tool) -> None:
    wanted = {"submit": {"email": email(tool, "ann@b.test", "550@b.test")}}
    done = await tool.call("MessageService/WatchMessage", wanted)
    assert done.code == 0, done.err
    assert "REPORT_EVENT_SENT" in done.out
    assert "REPORT_EVENT_FAILED" in done.out
    assert "550" in done.out


async def test_it_streams_delivery_reports(tool: Tool) -> None:
    sent = await tool.call("MessageService/SubmitMessage", {"email": email(tool, "ann@b.test")})
    wanted = {"selector": {"message_ids": [sent.json["message_id"]]}}
    reports: list[Any] = []
    count = 1
    while not reports:
        responses = await tool.stream("ReportService/StreamDeliveryReports", wanted, count)
        reports = [one for response in responses for one in response.get("reports", ())]
        count = 2  # the first response had none yet, so another one follows
    (report,) = reports
    assert report["message_id"] == sent.json["message_id"]
    assert (report["event"], report["final"]) == ("REPORT_EVENT_SENT", True)
    assert report["reply"]["code"] == 250
    assert report["cursor"]


async def test_it_reads_a_rich_error(tool: Tool) -> None:
    wrong = email(tool, "x, a@b.test")
    done = await tool.call("MessageService/SubmitMessage", {"email": wrong})
    assert done.code
    code, details = tool.error(done)
    assert code == "invalid_argument"
    assert details["ErrorInfo"]["reason"] == "FIELD_INVALID"
    assert details["ErrorInfo"]["domain"] == "mailproxy.v1"
    (violation,) = details["BadRequest"]["field_violations"]
    assert violation["field"] == "email.composed.to[0].address"
    assert violation["description"]


async def test_it_reads_the_errors_of_a_batch(tool: Tool) -> None:
    """These are google.rpc.Status in a message, each detail an Any: reflection knows them too."""
    requests = [{"email": email(tool)}, {"email": email(tool, "ann@b.test")}]
    done = await tool.call("MessageService/SubmitMessages", {"requests": requests})
    bad, good = done.json["results"]
    assert good["response"]["message_id"]
    assert bad["error"]["code"] == 3
    assert bad["error"]["details"][0]["reason"] == "FIELD_INVALID"
    assert "requests[0].email.composed.to" in str(bad["error"]["details"][1])
