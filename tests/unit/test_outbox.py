"""An email in protobuf's JSON, as rows of an outbox hold it: what is read, and what is refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson, Parse
from hypothesis import given, settings
from hypothesis import strategies as st
from mailproxy.v1 import delivery_pb2, message_pb2
from mailproxy_server.content.submission import check, read_json
from mailproxy_server.mail.errors import InvalidFields

from tests.support.emails import composed, raw

FULL = message_pb2.Email(
    account_id="demo",
    composed=composed(
        cc=[{"address": "b@b.test", "display_name": "Zoë 🐘"}],
        headers=[{"name": "X-One", "value": "1"}],
        attachments=[{"filename": "a", "content": bytes(range(256)), "inline": True}],
    ).composed,
    priority=delivery_pb2.PRIORITY_IMMEDIATE,
    delivery_guarantee=message_pb2.DELIVERY_GUARANTEE_AT_MOST_ONCE,
    labels={"kind": "receipt"},
    metadata={"order": "17"},
)
FULL.envelope.return_path = ""
FULL.send_time.FromDatetime(datetime(2026, 5, 1, 9, 30, 0, 123_000, tzinfo=UTC))
FULL.ttl.FromSeconds(90)
TEXT: dict[str, Any] = json.loads(MessageToJson(composed(), preserving_proto_field_name=True))


def read(text: str) -> message_pb2.Email:
    return read_json(text, None, None).email


def faults(text: str) -> list[str]:
    with pytest.raises(InvalidFields) as caught:
        read(text)
    return [violation.field for violation in caught.value.violations]


@pytest.mark.parametrize("email", [FULL, composed(), raw()], ids=["full", "composed", "raw"])
@pytest.mark.parametrize("own_names", [True, False])
def test_what_protobuf_writes_is_read_back_as_it_was(
    email: message_pb2.Email, own_names: bool
) -> None:
    assert read(MessageToJson(email, preserving_proto_field_name=own_names)) == email


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(
            st.sampled_from(["composed", "to", "address", "labels", "priority"]) | st.text(), inner
        ),
    )
)  # fmt: skip
def test_whatever_it_is_it_is_read_or_refused_with_a_field(value: Any) -> None:
    text = json.dumps(value)
    try:
        email = read(text)
    except InvalidFields as refusal:
        found = [violation.field.encode() for violation in refusal.violations]
    else:
        found = [b"email"] if Parse(text, message_pb2.Email()) == email else []
    assert found
    assert all(field.startswith(b"email") for field in found)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"priority": True}, "email.priority"),
        ({"priority": 10.5}, "email.priority"),
        ({"labels": []}, "email.labels"),
        ({"labels": {"a": 1}}, 'email.labels["a"]'),
        ({"raw_mime": "QQ=="}, "email.raw_mime"),
        ({"ttl": "1s", "expire_time": "2030-01-01T00:00:00Z"}, "email.expire_time"),
        ({"accountId": "a", "account_id": "b"}, "email.account_id"),
        ({"ttl": 5}, "email.ttl"),
        ({"send_time": "2026-13-01T00:00:00Z"}, "email.send_time"),
        ({"envelope": {"recipients": [None]}}, "email.envelope.recipients[0]"),
        ({"composed": [1]}, "email.composed"),
    ],
)
def test_a_fault_names_its_field(change: dict[str, Any], fault: str) -> None:
    assert faults(json.dumps(TEXT | change)) == [fault]


def test_all_faults_of_one_email_are_found_together() -> None:
    text = json.dumps({"composed": {"to": [{"adress": "x"}, 7], "subject": 1}, "colour": "red"})
    assert faults(text) == [
        "email.composed.to[0].adress",
        "email.composed.to[1]",
        "email.composed.subject",
        "email.colour",
    ]


@pytest.mark.parametrize(
    ("text", "octets"),
    [
        ("+/8=", b"\xfb\xff"),
        ("-_8", b"\xfb\xff"),
        ("+/\n8=\r\n", b"\xfb\xff"),
        ("", b""),
    ],
)
def test_base64_is_read_in_every_spelling(text: str, octets: bytes) -> None:
    assert read(json.dumps({"raw_mime": text})).raw_mime == octets


@pytest.mark.parametrize("text", ["***", "A", "QQ==QQ", "Q=Q", "é", "QQ ==", 5, None, ["QQ=="]])
def test_broken_base64_is_refused_where_protobufs_reader_makes_other_bytes_of_it(
    text: Any,
) -> None:
    attachment = {"filename": "a", "content": text}
    email = json.dumps({"composed": TEXT["composed"] | {"attachments": [attachment]}})
    if text is None:
        with pytest.raises(InvalidFields, match=r"attachments\[0\]\.content: is required"):
            check(read_json(email, None, None), datetime.now(UTC))
    else:
        assert faults(email) == ["email.composed.attachments[0].content"]


def test_control_protobufs_own_reader_takes_broken_base64_for_nothing() -> None:
    assert Parse('{"raw_mime": "***"}', message_pb2.Email()).raw_mime == b""


def test_every_field_that_an_email_can_have_is_of_a_type_that_is_read() -> None:
    """One of a new type must be added to `from_json` before a submission can hold it."""
    read_types = {
        FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, FieldDescriptor.TYPE_BOOL,
        FieldDescriptor.TYPE_ENUM, FieldDescriptor.TYPE_MESSAGE,
    }  # fmt: skip

    def walk(kind: Descriptor) -> None:
        for field in kind.fields:
            assert field.type in read_types, field.full_name
            inner = field.message_type
            if inner and not inner.full_name.startswith("google.protobuf."):
                walk(inner)

    walk(message_pb2.Email.DESCRIPTOR)
