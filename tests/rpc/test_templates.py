"""Templates: kept with an etag, rendered for a preview and for messages, each tenant's own."""

from email import message_from_bytes, policy
from typing import Any

import grpc
import pytest
from mailproxy.v1 import template_pb2

from tests.support.calling import request
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.served import Front, dispatching, front_on
from tests.support.templates import (
    DELETE,
    GIVEN,
    ORDER,
    UPDATE,
    manage,
    managing,
    struct,
    stub,
    templated,
)


async def render(front: Front, given: dict[str, Any], **source: Any) -> Any:
    wanted = template_pb2.RenderTemplateRequest(variables=struct(given), **source)
    return await front.first.call(stub(front.first).RenderTemplate, wanted)


async def test_a_message_from_a_template_arrives_rendered(database_url: str) -> None:
    async with ScriptedRelay() as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        await manage(front.first, **ORDER)
        async with dispatching(front):
            await front.first.submit(templated(GIVEN))
            await relay.until(lambda: relay.messages, "it came")
    message: Any = message_from_bytes(relay.messages[0].octets, policy=policy.default)
    assert message["Subject"] == "Order 17 for Ann & Bob"
    text = message.get_body(("plain",)).get_content().replace("\r\n", "\n")
    assert text == "Dear Ann & Bob,\n- one\n- two\n"
    assert "<p>Dear Ann &amp; Bob</p>" in message.get_body(("html",)).get_content()


async def test_a_preview_is_what_a_message_would_hold(front: Front) -> None:
    kept = await manage(front.first, **ORDER)
    assert list(kept.variables) == ["name", "order"]
    made = await render(front, GIVEN, template_id="order")
    assert (made.subject, made.html_body) == ("Order 17 for Ann & Bob", "<p>Dear Ann &amp; Bob</p>")
    tried = await render(front, {"x": 1}, template={"subject": "{{ x }}", "text_body": "a"})
    assert (tried.subject, tried.text_body) == ("1", "a")


async def test_templates_are_made_changed_listed_and_removed(front: Front) -> None:
    made = await manage(front.first, **ORDER)
    await manage(front.first, template_id="other", text_body="x")
    changed = await manage(front.first, UPDATE, subject="Hi", etag=made.etag)
    assert (changed.subject, changed.text_body) == ("Hi", ORDER["text_body"])
    assert changed.etag != made.etag
    cleared = await manage(front.first, UPDATE, "html_body", "subject")
    assert (cleared.subject, cleared.html_body) == ("", "")
    listed = await front.first.call(
        stub(front.first).ListTemplates, template_pb2.ListTemplatesRequest(page_size=1)
    )
    assert [one.template_id for one in listed.templates] == ["order"]
    more = template_pb2.ListTemplatesRequest(page_token=listed.next_page_token)
    listed = await front.first.call(stub(front.first).ListTemplates, more)
    assert [one.template_id for one in listed.templates] == ["other"]
    await manage(front.first, DELETE)
    again = await manage(front.first, **ORDER)
    assert again.etag not in (made.etag, changed.etag, cleared.etag)
    allowed = await manage(
        front.first, UPDATE, template_id="new", text_body="x", allow_missing=True
    )
    assert allowed.text_body == "x"
    await manage(front.first, template_id="never", text_body="x", validate_only=True)
    wanted = template_pb2.GetTemplateRequest(template_id="never")
    refusal = await front.first.refusal(stub(front.first).GetTemplate, wanted)
    assert refusal.reason == "TEMPLATE_NOT_FOUND"
    assert "known templates: new, order, other" in refusal.message


async def test_a_change_is_seen_by_the_next_submission(front: Front) -> None:
    await manage(front.first, text_body="{{ a }}")
    assert (await front.first.submit(templated({"a": 1}))).message_id
    await manage(front.first, UPDATE, text_body="{{ b }}")
    assert (await front.first.submit(templated({"b": 1}))).message_id
    await manage(front.first, DELETE)
    wanted = request(templated({"b": 1}))
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, wanted)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.NOT_FOUND, "TEMPLATE_NOT_FOUND")


async def test_a_repeat_is_the_same_though_the_template_changed(front: Front) -> None:
    await manage(front.first, text_body="{{ a }}")
    email = templated({"a": 1})
    first = await front.first.submit(email, request_id="once")
    await manage(front.first, UPDATE, text_body="changed {{ a }}")
    again = await front.first.submit(email, request_id="once")
    assert (again.message_id, again.replayed) == (first.message_id, True)
    other = request(templated({"a": 2}), request_id="once")
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, other)
    assert refusal.metadata["differing_fields"] == "email.templated.variables"


async def test_a_batch_has_a_result_for_each(front: Front) -> None:
    await manage(front.first, text_body="{{ a }}")
    emails = [templated({"a": 1}), templated({}), templated({"a": 2}), composed()]
    results = await front.first.submit_all([request(email) for email in emails])
    kinds = [result.WhichOneof("result") for result in results]
    assert kinds == ["response", "error", "response", "response"]


async def test_tenants_share_no_template(front: Front) -> None:
    await manage(front.first, **ORDER)
    wanted = template_pb2.GetTemplateRequest(template_id="order")
    refusal = await front.other.refusal(stub(front.other).GetTemplate, wanted)
    assert "there is none yet" in refusal.message
    refusal = await front.other.refusal(
        front.other.messages.SubmitMessage, request(templated(GIVEN))
    )
    assert refusal.reason == "TEMPLATE_NOT_FOUND"


@pytest.mark.parametrize(
    ("wanted", "reason", "field", "words"),
    [
        (managing(0), "UNKNOWN_ACTION", "", "CREATE (1)"),
        (managing(template_id="A b", text_body="x"), "FIELD_INVALID", "template_id", "[a-z0-9_.-]"),
        (managing(), "FIELD_INVALID", "text_body", "text, HTML, or both"),
        (managing(text_body="{% if"), "FIELD_INVALID", "text_body", "line 1"),
        (managing(html_body="a\n{{ b"), "FIELD_INVALID", "html_body", "line 2"),
        (managing(text_body="{% include 'x' %}"), "FIELD_INVALID", "text_body", "another template"),
        (managing(text_body="x", subject="x" * 4001), "FIELD_INVALID", "subject", "at most 4,000"),
        (managing(text_body="x" * 300_000), "FIELD_INVALID", "text_body", "at most 262,144"),
        (managing(text_body="{{ a }}", variables=["b"]), "FIELD_INVALID", "variables", "uses a"),
        (managing(text_body="x", variables=["b", "b"]), "FIELD_INVALID", "variables[1]", "twice"),
        (managing(text_body="x", variables=["b c"]), "FIELD_INVALID", "variables[0]", "name of"),
        (managing(UPDATE, text_body="x"), "TEMPLATE_NOT_FOUND", "", "there is none yet"),
        (managing(DELETE), "TEMPLATE_NOT_FOUND", "", "there is none yet"),
        (managing(UPDATE, "nothing"), "FIELD_INVALID", "", "not a field of a template"),
    ],
)  # fmt: skip
async def test_what_is_no_template_is_refused(
    front: Front, wanted: Any, reason: str, field: str, words: str
) -> None:
    refusal = await front.first.refusal(stub(front.first).ManageTemplate, wanted)
    assert refusal.reason == reason
    assert words in refusal.message
    assert not field or f"template.{field}" in refusal.fields


async def test_an_etag_guards_a_template(front: Front) -> None:
    made = await manage(front.first, **ORDER)
    await manage(front.first, UPDATE, subject="other")
    wanted = managing(UPDATE, subject="mine", etag=made.etag)
    refusal = await front.first.refusal(stub(front.first).ManageTemplate, wanted)
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")
    refusal = await front.first.refusal(stub(front.first).ManageTemplate, managing(**ORDER))
    assert refusal.reason == "TEMPLATE_EXISTS"
