"""Any text of a caller's is read as it was meant by Python's own parser, or refused."""

from email import message_from_bytes, message_from_string, policy
from email.header import decode_header, make_header
from email.headerregistry import Address, AddressHeader
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from mailproxy.v1 import message_pb2
from mailproxy_server.content.plain import text_of
from mailproxy_server.mail.errors import InvalidFields

from tests.support.emails import composed, sent

thorough = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
NASTY = st.sampled_from(
    [
        *("\r\n", "\n", "\x0b", "\x85", "\u2028", "\0", "\t", " ", "  ", '"', "\\", ",", ";", ":"),
        *("<", ">", "(", ")", "@", "=?", "?=", "=?utf-8?q?", "=?utf-8?b?YQ==?=", "=?utf-8?q?a?="),
        *("=0D=0A", "Bcc: eve@evil.test", "\u00ad", "\u200b", "\ufeff", "é", "日", "\U0001f600"),
        *("=20", "_", "''", "utf-8''%41", "%0D%0A", "*0*=", "word", "x" * 80, "é" * 40, "a b"),
    ]
)
TEXT = st.one_of(
    st.text(max_size=120),
    st.lists(NASTY | st.text(max_size=6), max_size=24).map("".join),
)
LOCAL_PART = st.text(st.characters(categories=["L", "M", "N", "S"]), min_size=1, max_size=15)
SETUP = ["Date", "Message-ID", "X-Mailproxy-Id", "From", "To"]
CONTENT = ["MIME-Version", "Content-Type", "Content-Transfer-Encoding"]


def read(**content: Any) -> EmailMessage:
    """The message as a recipient's program sees it; a refused one is of no interest."""
    try:
        octets = sent(composed(**content)).octets
    except InvalidFields:
        assume(False)
    message = message_from_bytes(octets, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def spaced(text: str) -> str:
    """CPython shortens white space, of any alphabet, next to encoded-words and in quotes."""
    return " ".join(text.split())


@thorough
@given(TEXT)
def test_a_subject(text: str) -> None:
    message = read(subject=text)
    assert message.keys() == [*SETUP, *(["Subject"] if text else []), *CONTENT]
    assert (message["Subject"] or "") == text


@thorough
@given(st.lists(TEXT, min_size=1, max_size=3))
def test_header_values(values: list[str]) -> None:
    message = read(headers=[{"name": f"X-H{n}", "value": v} for n, v in enumerate(values)])
    names = [f"X-H{n}" for n in range(len(values))]
    assert message.keys() == [*SETUP, "Subject", *names, *CONTENT]
    assert [message[name] for name in names] == values


@thorough
@given(st.lists(TEXT, min_size=1, max_size=4))
def test_display_names(names: list[str]) -> None:
    boxes = [{"address": f"a{n}@b.test", "display_name": name} for n, name in enumerate(names)]
    message = read(to=boxes)
    assert message.keys() == [*SETUP, "Subject", *CONTENT]
    header = message["To"]
    assert isinstance(header, AddressHeader)
    found: tuple[Address, ...] = header.addresses
    assert [address.addr_spec for address in found] == [box["address"] for box in boxes]
    assert [spaced(name) for name in old_display_names(message)] == [spaced(n) for n in names]


def old_display_names(message: EmailMessage) -> list[str]:
    """By the parser before `headerregistry`, which puts a space between two encoded-words."""
    (value,) = (v for k, v in message.raw_items() if k == "To")
    pairs = getaddresses([str(value)])
    return [str(make_header(decode_header(name))) for name, _ in pairs]


@thorough
@given(TEXT)
def test_a_file_name(name: str) -> None:
    file_of = {"filename": name, "media_type": "application/pdf", "content": b"octets"}
    message = read(attachments=[file_of])
    assert message.keys() == [*SETUP, "Subject", "MIME-Version", "Content-Type"]
    (file,) = message.iter_attachments()
    assert isinstance(file, EmailMessage)
    assert file.keys() == ["Content-Type", "Content-Disposition", "Content-Transfer-Encoding"]
    given_name = file["Content-Disposition"].params["filename"]  # get_filename() takes quotes off
    assert spaced(given_name) == spaced(name)
    assert file.get_payload(decode=True) == b"octets"


@thorough
@given(st.text(max_size=3000) | TEXT, st.text(max_size=300) | TEXT)
def test_bodies(text: str, html: str) -> None:
    message = read(text_body=text, html_body=html)
    for subtype, body in (("plain", text), ("html", html)):
        part = message.get_body((subtype,))
        made = text_of(html) if subtype == "plain" and not text else ""
        assert (part is not None) == bool(body or made)
        body = body or made
        if part is not None:
            octets = part.get_payload(decode=True)
            assert isinstance(octets, bytes)
            assert lines(octets.decode()) == lines(body)


@thorough
@given(st.lists(LOCAL_PART, min_size=1, max_size=3), TEXT)
def test_addresses_beyond_ascii(local_parts: list[str], name: str) -> None:
    boxes = [{"address": f"{local}@b.test", "display_name": name} for local in local_parts]
    try:
        got = sent(composed(to=boxes))
    except InvalidFields:
        assume(False)
    message = message_from_string(got.octets.decode(), policy=policy.default)
    assert message.keys() == [*SETUP, "Subject", *CONTENT]
    header = message["To"]
    assert isinstance(header, AddressHeader)
    assert [a.addr_spec for a in header.addresses] == [box["address"] for box in boxes]
    assert got.utf8_headers == (not "".join(local_parts).isascii())


def lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")


@thorough
@given(TEXT, TEXT, st.binary(max_size=200))
def test_every_line_is_ascii_and_short_and_no_blind_recipient_is_told(
    subject: str, name: str, content: bytes
) -> None:
    email = composed(
        to=[{"address": "ann@example.net", "display_name": name}],
        bcc=[{"address": "eve@hidden.test", "display_name": "Eve Hidden"}],
        subject=subject,
        html_body="<p>",
        attachments=[{"filename": f"f{name}", "content": content}],
    )
    try:
        one, other = sent(email), sent(message_pb2.Email.FromString(email.SerializeToString()))
    except InvalidFields:
        assume(False)
    assert one == other
    assert one.octets.isascii()
    assert b"hidden" not in one.octets
    assert b"Eve" not in one.octets
    assert all(len(line) <= 998 and b"\r" not in line for line in one.octets.split(b"\r\n"))
    assert b"\0" not in one.octets
    assert all(len(line) <= 76 for line in one.octets.split(b"\r\n") if b"=?utf-8?" in line)
