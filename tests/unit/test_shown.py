"""Whatever the demo's inbox catches is shown: Python's parser breaks on a tenth of these."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailproxy_server.cli.eml import recipients_of
from mailproxy_server.web import shown

NAMES = ("From", "To", "Subject", "Message-ID", "MIME-Version", "Content-Type", "Content-ID",
         "Content-Disposition", "Content-Transfer-Encoding")  # fmt: skip
PIECES = (
    b"a@b.test", b"<", b">", b"(", b")", b"[", b"]", b'"', b"'", b",", b";", b":", b"@", b".",
    b" ", b"\t", b"\r\n ", b"=", b"*", b"\x00", b"\xff\xfe", b"\xc3\xa9", b"group: a@b.test;",
    b"=?utf-8?q?x?=", b"=?utf-8?b?!!!?=", b"=?xx?q?a?=", b"=?utf-8?q?=FF=FE?=", b"text/html",
    b"text/plain; charset=", b"idna", b"rot13", b"punycode", b"multipart/mixed; boundary=x",
    b"message/rfc822", b"image/png", b"attachment", b"filename*=", b"filename*0*=utf-8''%41",
    b"base64", b"quoted-printable", b"x-uuencode",
)  # fmt: skip
HEADER = st.tuples(st.sampled_from(NAMES), st.lists(st.sampled_from(PIECES), max_size=6)).map(
    lambda drawn: drawn[0].encode() + b": " + b"".join(drawn[1]) + b"\r\n"
)
HEADERS = st.lists(HEADER, max_size=6).map(b"".join)
BODY = st.sampled_from((b"text", b"\xff\x00", b"=ZZ", b"AA=A", b'<img src="cid:x">', b"begin 644"))
PART = st.tuples(st.sampled_from((b"--x\r\n", b"--x--\r\n", b"")), HEADERS, BODY).map(
    lambda drawn: drawn[0] + drawn[1] + b"\r\n" + drawn[2] + b"\r\n"
)
MAIL = st.tuples(HEADERS, st.lists(PART, max_size=3)).map(
    lambda drawn: drawn[0] + b"\r\n" + b"".join(drawn[1])
)
BROKEN = (  # what Python 3.11 says
    b"=?utf-8?b?!!!?=",  # IndexError
    b"' group: a@b.test; : =x ",  # AttributeError
    b"attachment@[ \r\n x",  # AttributeError
    b"<",  # IndexError
)


@given(MAIL)
def test_whatever_it_is_it_is_shown(octets: bytes) -> None:
    message = shown.parsed(octets)
    parts = [(part.name, part.kind) for part in shown.files(message)]
    assert json.dumps([shown.summary(octets), shown.text(message), parts])
    assert isinstance(shown.html(message).encode(), bytes)


@pytest.mark.parametrize("value", BROKEN)
def test_a_header_that_cannot_be_read_hides_no_other(value: bytes) -> None:
    octets = (
        b"From: Ann <ann@b.test>\r\nTo: " + value + b"\r\nSubject: =?utf-8?q?=E2=9C=89?=\r\n\r\nHi"
    )
    summary = shown.summary(octets)
    assert list(summary) == ["From", "To", "Subject"]
    assert (summary["From"], summary["Subject"]) == ("Ann <ann@b.test>", "✉")
    assert shown.text(shown.parsed(octets)) == "Hi"


@pytest.mark.parametrize("value", BROKEN)
def test_recipients_are_not_guessed_from_it(value: bytes) -> None:
    octets = b"To: ann@b.test\r\nCc: " + value + b"\r\n\r\nHi"
    said = ""
    try:
        found = recipients_of(octets)
    except ValueError as error:
        found, said = ["ann@b.test"], str(error)
    assert found[0] == "ann@b.test"
    assert said in ("", "its Cc cannot be read; give --to")


def test_an_empty_group_names_nobody() -> None:
    octets = b"To: undisclosed-recipients:;\r\nCc: team: a@b.test, c@d.test;\r\n\r\nHi"
    assert recipients_of(octets) == ["a@b.test", "c@d.test"]
