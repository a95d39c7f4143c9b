"""What admission refuses, and the field that it names."""

from typing import Any

import pytest
from mailproxy.v1 import message_pb2
from mailproxy_server.content.codec import admit
from mailproxy_server.mail.errors import InvalidFields

from tests.support.emails import NOW, composed

BREAKS = [
    *("\n", "\r", "\r\n", "\0", "\x01", "\x0b", "\x0c", "\x1b", "\x1c", "\x1d", "\x1e", "\x1f"),
    *("\x7f", "\x80", "\x85", "\x9f", "\u2028", "\u2029"),
]
HIDDEN = [
    "=?utf-8?q?a=0D=0ABcc:_eve@evil.test?=",
    "=?UTF-8?Q?a=0d=0aBcc:_eve@evil.test?=",
    "=?utf-8?b?YQ0KQmNjOiBldmVAZXZpbC50ZXN0?=",
    "=?utf-8*en?q?a=0Ab?=",
    "=?utf-8?q?a=00b?=",
    "=?utf-8?q?a=C2=85b?=",
    "=?utf-8?q?a=E2=80=A8b?=",
    "=?unicode_escape?q?a\\r\\nBcc:_b?=",
    "=?utf-7?q?a+AA0ACg-b?=",
    "=?utf-16-le?b?DQAKAA==?=",
    "=?no-such-charset?q?a=0D=0Ab?=",
    "before =?utf-8?q?a=0D?= =?utf-8?q?=0Ab?= after",
]


def refusal(email: message_pb2.Email) -> InvalidFields:
    with pytest.raises(InvalidFields) as caught:
        admit(email, now=NOW, fingerprint=True)
    return caught.value


@pytest.mark.parametrize("text", [f"a{b}Bcc: eve@evil.test" for b in BREAKS])
@pytest.mark.parametrize(
    ("field", "make"),
    [
        ("composed.subject", lambda t: {"subject": t}),
        ("composed.from_address.display_name", lambda t: {"from_address": box(name=t)}),
        ("composed.to[1].display_name", lambda t: {"to": [box(), box(name=t)]}),
        ("composed.cc[0].address", lambda t: {"cc": [box(f"{t}@b.test")]}),
        ("composed.bcc[0].address", lambda t: {"bcc": [box(f"a@{t}.test")]}),
        ("composed.reply_to[0].display_name", lambda t: {"reply_to": [box(name=t)]}),
        ("composed.headers[0].name", lambda t: {"headers": [{"name": f"X-{t}", "value": "v"}]}),
        ("composed.headers[0].value", lambda t: {"headers": [{"name": "X-A", "value": t}]}),
        ("composed.attachments[0].filename", lambda t: {"attachments": [attached(filename=t)]}),
        ("composed.attachments[0].media_type", lambda t: {"attachments": [attached(media_type=t)]}),
        ("composed.attachments[0].content_id", lambda t: {"attachments": [attached(content_id=t)]}),
    ],
)
def test_no_line_break_or_control_character_comes_near_a_header(
    field: str, make: Any, text: str
) -> None:
    error = refusal(composed(**make(text)))
    assert [v.field for v in error.violations] == [f"email.{field}"]
    assert "evil" not in error.message


@pytest.mark.parametrize("text", HIDDEN)
@pytest.mark.parametrize("field", ["subject", "display_name", "value", "filename"])
def test_nor_hidden_in_an_encoded_word(field: str, text: str) -> None:
    makers: dict[str, Any] = {
        "subject": {"subject": text},
        "display_name": {"to": [box(name=text)]},
        "value": {"headers": [{"name": "X-A", "value": text}]},
        "filename": {"attachments": [attached(filename=text)]},
    }
    (violation,) = refusal(composed(**makers[field])).violations
    assert violation.field.endswith(field)


def box(address: str = "ann@example.net", name: str = "") -> dict[str, str]:
    return {"address": address, "display_name": name}


def attached(**fields: Any) -> dict[str, Any]:
    return {"filename": "a.bin", "content": b"a"} | fields


COMPOSED: list[tuple[str, dict[str, Any]]] = [
    ("from_address", {"from_address": None}),
    ("from_address.address", {"from_address": box("")}),
    ("from_address.address", {"from_address": box("x, a@b.test")}),
    ("to", {"to": []}),
    ("to", {"to": [box(f"a{n}@b.test") for n in range(1001)]}),
    ("to", {"to": [box()] * 10_001}),
    ("to[0].address", {"to": [box("x, a@b.test")]}),
    ("to[0].address", {"to": [box("Ann <a@b.test>")]}),
    ("to[0].address", {"to": [box("a@b.test, c@d.test")]}),
    ("to[0].address", {"to": [box("a@b.test>\0")]}),
    ("to[0].address", {"to": [box("a b@c.test")]}),
    ("to[0].address", {"to": [box("a\u00a0b@c.test")]}),
    ("to[0].address", {"to": [box("a\u202eb@c.test")]}),
    ("to[0].address", {"to": [box("ann")]}),
    ("to[0].address", {"to": [box("@b.test")]}),
    ("to[0].address", {"to": [box("ann@")]}),
    ("to[0].address", {"to": [box("a..b@c.test")]}),
    ("to[0].address", {"to": [box("ann@-b.test")]}),
    ("to[0].address", {"to": [box("ann@b_c.test")]}),
    ("to[0].address", {"to": [box("ann@[300.1.1.1]")]}),
    ("to[0].address", {"to": [box("=?utf-8?q?a=0D=0ABcc=3Ab?=@c.test")]}),
    ("to[0].address", {"to": [box("a" * 65 + "@b.test")]}),
    ("to[0].address", {"to": [box("a@" + "b." * 130 + "test")]}),
    ("to[0].address", {"to": [box("a" * 1_000_000)]}),
    ("to[2].display_name", {"to": [box(), box(), box(name="n" * 257)]}),
    ("subject", {"subject": "s" * 2001}),
    ("text_body", {"text_body": ""}),
    ("headers", {"headers": [{"name": "X-A", "value": "v"}] * 101}),
    ("headers[0].value", {"headers": [{"name": "X-A", "value": "v" * 16_385}]}),
    ("headers[1].name", {"headers": [{"name": "References", "value": "<a@b>"}] * 2}),
    ("attachments", {"attachments": [attached()] * 101}),
    ("attachments[0].filename", {"attachments": [{"content": b"a"}]}),
    ("attachments[0].filename", {"attachments": [attached(filename="f" * 256)]}),
    ("attachments[0].content", {"attachments": [{"filename": "a"}]}),
    ("attachments[0].media_type", {"attachments": [attached(media_type="pdf")]}),
    ("attachments[0].media_type", {"attachments": [attached(media_type="text/plain; name=b")]}),
    ("attachments[0].media_type", {"attachments": [attached(media_type='a/b; c="d"e"')]}),
    ("attachments[0].media_type", {"attachments": [attached(media_type="multipart/mixed")]}),
    ("attachments[0].content_id", {"attachments": [attached(content_id="<logo>")]}),
    ("attachments[0].content_id", {"attachments": [attached(content_id="a b")]}),
    ("attachments[1].content_id", {"attachments": [attached(content_id="logo")] * 2}),
]


@pytest.mark.parametrize(("field", "content"), COMPOSED)
def test_a_fault_of_the_content_names_its_field(field: str, content: dict[str, Any]) -> None:
    error = refusal(composed(**content))
    assert error.reason == "FIELD_INVALID"
    assert [v.field for v in error.violations] == [f"email.composed.{field}"]


@pytest.mark.parametrize(
    "name",
    [
        *("From", "from", "TO", "Cc", "Bcc", "BCC", "Reply-To", "Subject", "Date", "Message-ID"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding", "content-any", "Sender"),
        *("Received", "Return-Path", "Resent-To", "Resent-Bcc", "Delivered-To", "ARC-Seal"),
        *("DKIM-Signature", "X-Mailproxy-Id", "x-mailproxy-other"),
        *("", "X A", "X:", "X-A:b", "Ünï", "X-" + "a" * 75, " X", "X\t"),
    ],
)
def test_a_header_name_that_is_not_the_callers_is_refused(name: str) -> None:
    (violation,) = refusal(composed(headers=[{"name": name, "value": "v"}])).violations
    assert violation.field == "email.composed.headers[0].name"


EMAIL: list[tuple[str, dict[str, Any]]] = [
    ("account_id", {"account_id": "a\0b"}),
    ("account_id", {"account_id": "a" * 64}),
    ("envelope.return_path", {"envelope": {"return_path": "nobody"}}),
    ("envelope.return_path", {"envelope": {"return_path": "a@b.test\r\nRCPT TO:<c@d>"}}),
    ("envelope.recipients", {"envelope": {"recipients": ["a@b.test"]}}),
    ("labels", {"labels": {f"k{n}": "v" for n in range(17)}}),
    ("labels", {"labels": {"": "v"}}),
    ("labels", {"labels": {"Upper": "v"}}),
    ("labels", {"labels": {"k" * 64: "v"}}),
    ('labels["k"]', {"labels": {"k": "v" * 129}}),
    ('labels["k"]', {"labels": {"k": "a\0b"}}),
    ("metadata", {"metadata": {"k": "v" * 4096}}),
    ("metadata", {"metadata": {"k": "ä" * 2048}}),
    ("metadata", {"metadata": {"k\0": "v"}}),
    ("metadata", {"metadata": {"k": "\0"}}),
]


@pytest.mark.parametrize(("field", "email"), EMAIL)
def test_a_fault_of_the_email_names_its_field(field: str, email: dict[str, Any]) -> None:
    assert [v.field for v in refusal(composed(email)).violations] == [f"email.{field}"]


def test_an_email_without_content_says_what_to_give() -> None:
    error = refusal(message_pb2.Email())
    assert [v.field for v in error.violations] == ["email.composed"]
    assert "give composed, templated, or raw_mime" in error.message


def test_an_empty_content_names_all_that_is_missing() -> None:
    error = refusal(message_pb2.Email(composed=message_pb2.ComposedContent()))
    assert [v.field for v in error.violations] == [
        "email.composed.from_address",
        "email.composed.to",
        "email.composed.text_body",
    ]


def test_an_unknown_priority_is_an_unknown_field() -> None:
    error = refusal(composed({"priority": 15}))
    assert error.reason == "UNKNOWN_FIELD"
    assert [v.field for v in error.violations] == ["email.priority"]


def test_at_most_twenty_faults_are_named_below_the_given_path() -> None:
    email = composed(to=[box("bad")] * 500)
    with pytest.raises(InvalidFields) as caught:
        admit(email, now=NOW, path="requests[7].email", fingerprint=False)
    fields = [v.field for v in caught.value.violations]
    assert fields == [f"requests[7].email.composed.to[{n}].address" for n in range(20)]
