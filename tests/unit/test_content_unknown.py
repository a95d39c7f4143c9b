"""Unknown fields are found wherever they are."""

from typing import Any

import pytest
from mailproxy.v1 import message_pb2
from mailproxy_server.content.unknown import find_unknown

FIELD_99 = b"\x98\x06\x01"
FIELD_1000 = b"\xc2\x3e\x01x"


def request() -> message_pb2.SubmitMessagesRequest:
    one: Any = {"email": {"composed": {"to": [{}, {}], "headers": [{}], "subject": "s"}}}
    two: Any = {"email": {"ttl": {"seconds": 1}, "labels": {"a": "b"}, "raw_mime": b"r"}}
    return message_pb2.SubmitMessagesRequest(requests=[one, two])


def test_a_known_message_holds_nothing_unknown() -> None:
    assert find_unknown(request()) is None


@pytest.mark.parametrize(
    ("pick", "found"),
    [
        (lambda r: r, "request"),
        (lambda r: r.requests[1], "requests[1]"),
        (lambda r: r.requests[0].email, "requests[0].email"),
        (lambda r: r.requests[0].email.composed, "requests[0].email.composed"),
        (lambda r: r.requests[0].email.composed.to[1], "requests[0].email.composed.to[1]"),
        (lambda r: r.requests[1].email.ttl, "requests[1].email.ttl"),
    ],
)
def test_an_unknown_field_is_named_by_its_parent_and_number(pick: object, found: str) -> None:
    assert callable(pick)
    for extra, number in ((FIELD_99, 99), (FIELD_1000, 1000)):
        message = request()
        target = pick(message)
        target.ParseFromString(target.SerializeToString() + extra)
        assert find_unknown(message) == f"{found}: unknown field {number}"
