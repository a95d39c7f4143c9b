"""Attachments from an account's endpoints: asked by POST, authenticated, and told apart."""

import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from mailproxy.v1 import account_pb2, message_pb2

from tests.rpc.test_attachments_sources import LOCAL, files_of, last_report
from tests.support.calling import Caller, request
from tests.support.emails import composed
from tests.support.origin import Origin
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 10
SECRET = "s3cret-of-the-endpoint"


def called(name: str, **parameters: Any) -> dict[str, Any]:
    return {"filename": f"{name}.pdf", "endpoint": {"name": name, "parameters": parameters}}


def email(*files: dict[str, Any]) -> message_pb2.Email:
    wanted = composed()
    ParseDict({"composed": {"attachments": list(files)}}, wanted)
    return wanted


def change(endpoints: list[dict[str, Any]]) -> account_pb2.ManageAccountRequest:
    wanted = account_pb2.ManageAccountRequest(action=account_pb2.ACCOUNT_ACTION_UPDATE)
    wanted.account.account_id = "demo"
    for endpoint in endpoints:
        wanted.account.attachment_endpoints.add(**endpoint)
    wanted.update_mask.paths.append("attachment_endpoints")
    return wanted


async def manage(caller: Caller, endpoints: list[dict[str, Any]]) -> Any:
    return await caller.call(caller.accounts.ManageAccount, change(endpoints))


async def test_each_way_to_authenticate(database_url: str) -> None:
    async with (
        Origin({"/pdf": PDF}) as origin,
        ScriptedRelay() as relay,
        front_on(database_url) as front,
    ):
        await front.first.make_account(relay.port)
        url = origin.url("/pdf")
        await manage(
            front.first,
            [
                {"name": "open", "url": url},
                {"name": "bearer", "url": url, "auth": 2, "secret": SECRET},
                {"name": "basic", "url": url, "auth": 3, "username": "u", "secret": SECRET},
                {"name": "header", "url": url, "auth": 4, "header_name": "X-Key", "secret": SECRET},
            ],
        )
        names = ["open", "bearer", "basic", "header"]
        files = [called(name, order=17, total=1.5, lines=["a", None, True]) for name in names]
        async with dispatching(front, **LOCAL):
            sent = await front.first.submit(email(*files))
            report = await last_report(front, sent.message_id)
            assert report.event == 2, report
        assert files_of(relay.messages[0].octets) == {f"{name}.pdf": PDF for name in names}
        assert [r.method for r in origin.requests] == ["POST"] * 4
        said = [r.headers.get("Authorization") or r.headers.get("X-Key") for r in origin.requests]
        basic = base64.b64encode(f"u:{SECRET}".encode()).decode()
        assert said == [None, f"Bearer {SECRET}", f"Basic {basic}", SECRET]
        for body in origin.bodies:
            assert body == b'{"lines":["a",null,true],"order":17,"total":1.5}'
        stored = await front.link.fetchval(
            "SELECT string_agg(a::text, '') FROM mailproxy.accounts a"
        )
        assert SECRET not in stored
        assert SECRET.encode().hex() not in stored
        assert SECRET not in str(await front.first.get(sent.message_id, include_attempts=True))


async def test_only_endpoints_of_the_account_may_be_named(front: Front) -> None:
    await manage(front.first, [{"name": "known", "url": "https://files.test/"}])
    refusal = await front.first.refusal(
        front.first.messages.SubmitMessage, request(email(called("known"), called("other")))
    )
    assert refusal.fields == ("email.composed.attachments[1].endpoint.name",)
    assert "it has known" in refusal.message
    refusal = await front.other.refusal(
        front.other.messages.SubmitMessage, request(email(called("known")))
    )
    assert "it has none" in refusal.message
    assert (await front.first.submit(email(called("known")))).message_id


async def test_one_that_is_gone_when_its_turn_comes_fails_the_message(front: Front) -> None:
    await manage(front.first, [{"name": "known", "url": "https://files.test/"}])
    sent = await front.first.submit(email(called("known")))
    await manage(front.first, [])
    async with dispatching(front):
        report = await last_report(front, sent.message_id)
    assert "no endpoint known (any more)" in str(report)


@pytest.mark.parametrize(
    ("file", "field", "words"),
    [
        ({"name": "A b"}, "name", "not the name"),
        ({"name": ""}, "name", "not the name"),
        ({"name": "a", "parameters": {"x": "y" * 20_000}}, "parameters", "at most 16,384"),
    ],
)
async def test_a_call_that_is_none_is_refused(
    front: Front, file: dict[str, Any], field: str, words: str
) -> None:
    wanted = request(email({"filename": "f", "endpoint": file}))
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, wanted)
    assert refusal.fields == (f"email.composed.attachments[0].endpoint.{field}",)
    assert words in refusal.message


async def test_what_json_cannot_say_is_refused(front: Front) -> None:
    wanted = composed(attachments=[{"filename": "f"}])
    call = wanted.composed.attachments[0].endpoint
    call.name = "a"
    call.parameters.fields["x"].number_value = float("inf")
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, request(wanted))
    assert "JSON cannot say" in refusal.message


def test_parameters_are_the_same_for_the_same_call() -> None:
    from mailproxy_server.content.parameters import as_json

    call = message_pb2.EndpointCall()
    ParseDict({"parameters": {"b": 2, "a": {"y": [1, 2.5], "x": "ü"}}}, call)
    assert json.loads(as_json(call.parameters)) == {"b": 2, "a": {"y": [1, 2.5], "x": "ü"}}
    assert as_json(call.parameters).startswith(b'{"a":{"x":')
    assert as_json(message_pb2.EndpointCall().parameters) == b"{}"
