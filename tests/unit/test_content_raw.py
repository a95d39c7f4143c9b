"""Raw messages: what is refused, with its offset; what is taken out, what is added."""

from typing import Any

import pytest
from mailproxy.v1 import message_pb2
from mailproxy_server.content.codec import admit, restore
from mailproxy_server.content.compose import compose
from mailproxy_server.mail.errors import InvalidFields

from tests.support.emails import MESSAGE_ID, NOW, RAW, raw, sent


def refusal(email: message_pb2.Email) -> InvalidFields:
    with pytest.raises(InvalidFields) as caught:
        admit(email, now=NOW, fingerprint=True)
    return caught.value


RAW_FAULTS: list[tuple[bytes, str]] = [
    (b"", "is empty"),
    (b"From: a@b.test\n\nx", "bare CR or LF at offset 14"),
    (b"From: a@b.test\r\n\r\nx\ry\r\n", "bare CR or LF at offset 19"),
    (b"From: a@b.test\r\n\r\nx\r", "bare CR or LF at offset 19"),
    (b"From: a@b.test\r\n\r\n\n.\r\n", "bare CR or LF at offset 18"),
    (b"From: a@b.test\r\n\r\nx\0y\r\n", "NUL at offset 19"),
    (b"From: a@b.test\r\n\r\n" + b"x" * 999 + b"\r\n", "998 octets at offset 18"),
    (b"From: a@b.test\r\n\r\nhi\r\n" + b"x" * 999, "998 octets at offset 22"),
    (b"From: a@b.test\r\nSubject: \xe4\r\n\r\nx", "8-bit header at offset 25"),
    (b"From: a@b.test\r\nSubject: \xc3\xa4\r\n\r\nx", "8-bit header at offset 25"),
    (b"Subject: x\r\n\r\nFrom: a@b.test\r\n", "no From header"),
    (b"\r\nFrom: a@b.test\r\n", "no From header"),
    (b"From: a@b.test\r\nFROM : c@d.test\r\n\r\nx", "more than one From header"),
    (b"From: a@b.test\r\ngarbage\r\nBcc: c@d.test\r\n\r\nx", "line at offset 16"),
    (b"From: a@b.test\r\n: x\r\n\r\nx", "line at offset 16"),
    (b" folded: x\r\nFrom: a@b.test\r\n\r\nx", "line at offset 0"),
    (b"From ann Thu Jan  1 1970\r\nFrom: a@b.test\r\n\r\nx", "line at offset 0"),
]


@pytest.mark.parametrize(("octets", "words"), RAW_FAULTS)
def test_a_fault_of_a_raw_message_says_where(octets: bytes, words: str) -> None:
    (violation,) = refusal(raw(octets)).violations
    assert violation.field == "email.raw_mime"
    assert words in violation.description


@pytest.mark.parametrize(
    ("envelope", "field"),
    [
        ({"recipients": []}, "envelope.recipients"),
        ({"recipients": ["a@b.test", "x, a@b.test"]}, "envelope.recipients[1]"),
        ({"recipients": [f"a{n}@b.test" for n in range(1001)]}, "envelope.recipients"),
        ({"return_path": "x y@b.test"}, "envelope.return_path"),
    ],
)
def test_a_raw_message_needs_its_envelope(envelope: dict[str, Any], field: str) -> None:
    assert [v.field for v in refusal(raw(RAW, **envelope)).violations] == [f"email.{field}"]


@pytest.mark.parametrize(
    "sender", [b"a@b.test, c@d.test", b"nobody", b"<a@b.test> <c@d.test>", b"Group: a@b.test;"]
)
def test_a_raw_message_without_one_sender_needs_a_return_path(sender: bytes) -> None:
    email = raw(b"From: " + sender + b"\r\n\r\nx\r\n")
    assert [v.field for v in refusal(email).violations] == ["email.envelope.return_path"]
    email.envelope.return_path = ""
    assert admit(email, now=NOW, fingerprint=False).return_path == ""


ADDED = (
    b"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\n"
    b"Message-ID: <0195f0c2-6e0b-7c3a-8000-123456789abc@example.com>\r\n"
)


def test_a_missing_date_and_message_id_go_on_top() -> None:
    assert sent(raw()).octets == ADDED + RAW


def test_a_message_that_has_both_stays_as_it_is() -> None:
    octets = b"date: yesterday\r\nMESSAGE-id : <a@b>\r\n" + RAW
    assert sent(raw(octets)).octets == octets


def test_a_date_in_the_body_or_in_another_header_does_not_count() -> None:
    octets = RAW.replace(b"Subject: Your", b"Subject: x\r\n Date: Your") + b"Date: a\r\n"
    assert sent(raw(octets)).octets == ADDED + octets


@pytest.mark.parametrize(
    "taken",
    [
        b"Bcc: eve@hidden.test\r\n",
        b"BCC : eve@hidden.test\r\n",
        b"Bcc: eve@hidden.test,\r\n\tbob@hidden.test\r\n \r\n adam@hidden.test\r\n",
        b"Bcc:\r\n eve@hidden.test\r\n",
        b"Resent-Bcc: eve@hidden.test\r\n",
        b"return-path: <eve@hidden.test>\r\n",
        b"Bcc: a@hidden.test\r\nBcc: b@hidden.test\r\nReturn-Path: <c@hidden.test>\r\n",
    ],
)
@pytest.mark.parametrize("line", [0, 1, 3])
def test_blind_recipients_and_the_return_path_are_taken_out(taken: bytes, line: int) -> None:
    lines = RAW.splitlines(keepends=True)
    octets = b"".join([*lines[:line], taken, *lines[line:]])
    admitted = admit(raw(octets), now=NOW, fingerprint=True)
    assert restore(admitted.content).raw_mime == RAW
    kept = message_pb2.Email(raw_mime=octets)
    assert compose(kept, message_id=MESSAGE_ID, date=NOW).octets == ADDED + RAW


def test_headers_that_only_look_alike_and_the_body_stay() -> None:
    octets = b"X-Bcc: a\r\nBcc-Note: b\r\nSubject: x\r\n Bcc: c\r\n" + RAW + b"Bcc: d\r\n"
    assert sent(raw(octets)).octets == ADDED + octets


def test_a_last_line_without_end_gets_one() -> None:
    assert sent(raw(RAW[:-2])).octets == ADDED + RAW
    assert sent(raw(b"From: shop@example.com")).octets == ADDED + b"From: shop@example.com\r\n"


def test_an_eight_bit_body_says_so() -> None:
    assert sent(raw(RAW + b"\xff\r\n")).eight_bit
    assert not sent(raw()).eight_bit


@pytest.mark.parametrize(
    ("value", "sender"),
    [
        (b"shop@EXAMPLE.com", "shop@example.com"),
        (b'"Shop, <The>" <shop@example.com>', "shop@example.com"),
        (b"Shop (a@b) <shop@example.com>", "shop@example.com"),
        (b"=?utf-8?q?a=40b?=\r\n <shop@example.com>", "shop@example.com"),
        (b'"a b"@example.com', '"a b"@example.com'),
    ],
)
def test_the_sender_is_read_from_the_from_header(value: bytes, sender: str) -> None:
    got = admit(raw(b"From: " + value + b"\r\n\r\nx\r\n"), now=NOW, fingerprint=False)
    assert got.return_path == sender


def test_the_longest_lines_pass() -> None:
    octets = RAW + b"x" * 998 + b"\r\n" + b"y" * 998
    assert sent(raw(octets)).octets == ADDED + octets + b"\r\n"
