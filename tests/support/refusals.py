"""The table of submissions that must be refused: what is wrong, and what must be said of it."""

from dataclasses import dataclass
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import message_pb2

from tests.support.calling import Request, request
from tests.support.emails import composed, raw


@dataclass(frozen=True)
class Bad:
    """A request; the reason, the fields and the words that its refusal must have."""

    request: Request
    fields: tuple[str, ...]
    reason: str = "FIELD_INVALID"
    words: str = ""


def _people(count: int) -> list[dict[str, str]]:
    return [{"address": f"person-{number}@b.test"} for number in range(count)]


def _with(**content: Any) -> Request:
    return request(composed(**content))


def _header(value: str, name: str = "X-Note") -> Request:
    return _with(headers=[{"name": name, "value": value}])


def unknown(message: Message, number: int) -> None:
    """Put a field that no contract has into a message."""
    key = number << 3
    varint = bytes((key & 0x7F | 0x80, key >> 7, 1))
    message.MergeFromString(varint)


def _unknown_in(path: str) -> Request:
    made = _with(headers=[{"name": "X-Note", "value": "a"}])
    found: Any = made
    for step in path.split(".") if path else ():
        name, _, index = step.partition("[")
        found = getattr(found, name)
        found = found[int(index[:-1])] if index else found
    unknown(found, 99)
    return made


_TO, _VALUE = "email.composed.to", "email.composed.headers[0].value"
_ENVELOPE = "email.envelope.recipients"
_LATE = Timestamp(seconds=4_000_000_000)

BAD: dict[str, Bad] = {
    "no email": Bad(Request(), ("email",)),
    "no content": Bad(Request(email=message_pb2.Email(account_id="demo")), ("email.composed",)),
    "an unknown account": Bad(
        request(composed({"account_id": "nobody"})),
        ("email.account_id",),
        "ACCOUNT_NOT_FOUND",
        "demo",
    ),
    "0 recipients": Bad(_with(to=[]), (_TO,)),
    "1,001 recipients": Bad(_with(to=_people(1001)), (_TO,), words="1,001"),
    "1,001 recipients in three lists": Bad(
        _with(to=_people(1000)[:500], cc=_people(1000)[500:], bcc=_people(1001)), (_TO,)
    ),
    "0 recipients of raw MIME": Bad(request(raw(recipients=[])), (_ENVELOPE,)),
    "1,001 recipients of raw MIME": Bad(
        request(raw(recipients=[box["address"] for box in _people(1001)])), (_ENVELOPE,)
    ),
    "two addresses in one field": Bad(
        _with(to=[{"address": "x, a@b.test"}]), (f"{_TO}[0].address",)
    ),
    "an address with a name": Bad(
        _with(to=[*_people(1), {"address": "A <a@b.test>"}]), (f"{_TO}[1].address",)
    ),
    "an address with a line break": Bad(
        _with(to=[{"address": "a@b.test\r\nRCPT TO:<c@d.test>"}]), (f"{_TO}[0].address",)
    ),
    "a header with a line break": Bad(_header("a\r\nBcc: x@b.test"), (_VALUE,), words="U+000D"),
    "a header with a bare line feed": Bad(_header("a\nBcc: x@b.test"), (_VALUE,), words="U+000A"),
    "a header with a line break in an encoded-word": Bad(
        _header("=?utf-8?q?a=0D=0ABcc:_x@b.test?="), (_VALUE,), words="encoded-word"
    ),
    "a header with a line break in a Base64 encoded-word": Bad(
        _header("=?utf-8?b?YQ0KQmNjOiB4QGIudGVzdA==?="), (_VALUE,), words="encoded-word"
    ),
    "a header with U+0085": Bad(_header("a\x85Bcc: x@b.test"), (_VALUE,), words="U+0085"),
    "a header with U+2028": Bad(_header("a\u2028Bcc: x@b.test"), (_VALUE,), words="U+2028"),
    "a header's name with a line break": Bad(
        _header("a", "X-Note\r\nBcc"), ("email.composed.headers[0].name",)
    ),
    "a header that is the proxy's own": Bad(
        _header("a", "Bcc"), ("email.composed.headers[0].name",)
    ),
    "a subject with a line break": Bad(
        _with(subject="a\r\nBcc: b@c.test"), ("email.composed.subject",)
    ),
    "a subject with a line break in an encoded-word": Bad(
        _with(subject="=?utf-8?q?a=0D=0ABcc:_x@b.test?="), ("email.composed.subject",)
    ),
    "a name with U+2028": Bad(
        _with(to=[{"address": "a@b.test", "display_name": "A\u2028B"}]), (f"{_TO}[0].display_name",)
    ),
    "several faults": Bad(
        _with(to=[{"address": "no"}], subject="a\nb", text_body=""),
        (f"{_TO}[0].address", "email.composed.subject", "email.composed.text_body"),
        words="and 2 more",
    ),
    "raw MIME with a bare line feed": Bad(
        request(raw(b"From: a@b.test\r\n\r\na\nb\r\n")), ("email.raw_mime",)
    ),
    "a priority not of this contract": Bad(
        request(composed({"priority": 7})), ("email.priority",), "UNKNOWN_FIELD", "7"
    ),
    "an unknown field of the request": Bad(_unknown_in(""), ("request",), "UNKNOWN_FIELD", "99"),
    "an unknown field of the email": Bad(_unknown_in("email"), ("email",), "UNKNOWN_FIELD", "99"),
    "an unknown field of a header": Bad(
        _unknown_in("email.composed.headers[0]"),
        ("email.composed.headers[0]",),
        "UNKNOWN_FIELD",
        "99",
    ),
    "a request_id of 129 characters": Bad(request(request_id="x" * 129), ("request_id",)),
    "a request_id with a line break": Bad(request(request_id="a\nb"), ("request_id",)),
    "a traceparent that is none": Bad(request(traceparent="00-xyz"), ("traceparent",)),
    "a send_time years ahead": Bad(request(composed({"send_time": _LATE})), ("email.send_time",)),
    "a send_time that is no time": Bad(
        request(composed({"send_time": Timestamp(seconds=1, nanos=-1)})), ("email.send_time",)
    ),
    "an expiry that has passed": Bad(
        request(composed({"expire_time": Timestamp(seconds=1)})), ("email.expire_time",)
    ),
    "a ttl of half a second": Bad(
        request(composed({"ttl": Duration(nanos=500_000_000)})), ("email.ttl",)
    ),
    "17 labels": Bad(
        request(composed({"labels": {f"k{n}": "" for n in range(17)}})), ("email.labels",)
    ),
    "metadata of 5 KiB": Bad(
        request(composed({"metadata": {"a": "x" * 5120}})), ("email.metadata",)
    ),
}
"""By what is wrong. Field paths are those of a single SubmitMessage."""
