from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from mailproxy.attachment import Attachment
from mailproxy.errors import InvalidRequestError
from mailproxy.message import Message, prepared, to_request
from mailproxy.v1 import delivery_pb2, message_pb2
from mailproxy.values import mailbox

PLAIN = Message(from_address="a@x.test", to="b@y.test", subject="Hi", text="Hello")


@pytest.mark.parametrize(
    ("given", "address", "name"),
    [
        ("a@x.test", "a@x.test", ""),
        ("Ann <a@x.test>", "a@x.test", "Ann"),
        ("<a@x.test>", "a@x.test", ""),
        ("  Ann Lee  <a@x.test> ", "a@x.test", "Ann Lee"),
        ('"Lee, Ann" <a@x.test>', "a@x.test", "Lee, Ann"),
        (r'"Ann \"A\" <x>" <a@x.test>', "a@x.test", 'Ann "A" <x>'),
        ("Żółć <ż@x.test>", "ż@x.test", "Żółć"),
        ('"a<b"@x.test', '"a<b"@x.test', ""),
        # Not two mailboxes and not mended: the server refuses it and names the field.
        ("x, a@b.test", "x, a@b.test", ""),
        ("Ann <a@x.test>, b@y.test", "Ann <a@x.test>, b@y.test", ""),
        ("a@x.test\r\nBcc: c@z.test", "a@x.test\r\nBcc: c@z.test", ""),
    ],
)
def test_a_string_is_one_mailbox(given: str, address: str, name: str) -> None:
    assert mailbox(given) == message_pb2.Mailbox(address=address, display_name=name)


def test_plain_values_become_a_request() -> None:
    request = to_request(
        Message(
            from_address="Ann <a@x.test>",
            to=["b@y.test", message_pb2.Mailbox(address="c@y.test")],
            cc="d@y.test",
            subject="Hi",
            html="<p>",
            headers={"X-A": "1"},
            account="ses",
            priority="high",
            send_time=datetime(2030, 1, 1, tzinfo=UTC),
            ttl=timedelta(minutes=5),
            labels={"k": "v"},
            return_path="",
            request_id="order-17",
        )
    )
    email = request.email
    assert request.request_id == "order-17"
    assert [each.address for each in email.composed.to] == ["b@y.test", "c@y.test"]
    assert email.composed.cc[0].address == "d@y.test"
    assert email.composed.headers[0] == message_pb2.Header(name="X-A", value="1")
    assert (email.account_id, email.priority) == ("ses", delivery_pb2.PRIORITY_HIGH)
    assert email.send_time.ToDatetime(UTC) == datetime(2030, 1, 1, tzinfo=UTC)
    assert email.ttl.ToTimedelta() == timedelta(minutes=5)
    assert email.envelope.HasField("return_path")
    assert email.envelope.return_path == ""


def test_none_is_the_same_as_leaving_a_field_out() -> None:
    nothing: Any = dict.fromkeys(Message.__annotations__)
    assert to_request({**nothing, **PLAIN, "request_id": "r"}) == to_request(
        {**PLAIN, "request_id": "r"}
    )


def test_each_message_without_a_request_id_gets_one_of_its_own() -> None:
    assert len({to_request(PLAIN).request_id for _ in range(10)}) == 10


def test_a_raw_message_goes_as_it_is() -> None:
    email = to_request(Message(raw_mime=b"A: b\r\n\r\n", recipients=["b@y.test"])).email
    assert (email.raw_mime, list(email.envelope.recipients)) == (b"A: b\r\n\r\n", ["b@y.test"])
    assert not email.envelope.HasField("return_path")


def test_a_path_becomes_an_attachment(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"bytes")
    logo = Attachment("", b"png", "image/png", content_id="logo", inline=True)
    email = to_request({**PLAIN, "attachments": [path, str(path), logo]}).email
    assert [each.filename for each in email.composed.attachments] == ["a.txt", "a.txt", ""]
    assert [each.content for each in email.composed.attachments] == [b"bytes", b"bytes", b"png"]
    assert email.composed.attachments[2].inline
    assert "png" not in repr(Attachment("a", b"png"))


@pytest.mark.parametrize(
    ("fields", "at_fault"),
    [
        ({"send_time": datetime(2030, 1, 1)}, "email.send_time"),
        ({"expire_time": datetime(2030, 1, 1)}, "email.expire_time"),
        ({"priority": "urgent"}, "email.priority"),
        ({"raw_mime": b""}, "email.raw_mime"),
        (
            {"expire_time": datetime(2030, 1, 1, tzinfo=UTC), "ttl": timedelta(1)},
            "email.ttl",
        ),
    ],
)
def test_what_no_request_can_say_is_refused_with_its_field(
    fields: dict[str, Any], at_fault: str
) -> None:
    message = cast(Message, {**PLAIN, **fields})
    with pytest.raises(InvalidRequestError) as caught:
        to_request(message)
    assert caught.value.field_violations[0].field == at_fault
    assert caught.value.reason == "FIELD_INVALID"


def test_an_unknown_field_is_the_programmers_error() -> None:
    with pytest.raises(TypeError, match="form_address"):
        to_request({"form_address": "a@x.test"})  # type: ignore[typeddict-unknown-key]


def test_a_raw_request_is_completed_without_being_touched() -> None:
    given = message_pb2.SubmitMessageRequest()
    own = prepared(given)
    assert own.request_id
    assert not given.request_id
    assert prepared(own) is own
