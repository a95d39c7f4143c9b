"""What a relay gets of a composed email."""

from datetime import datetime, timedelta, timezone
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

import pytest
from mailproxy_server.content.compose import compose, format_date

from tests.support.emails import NOW, composed, sent


def parsed(**content: Any) -> EmailMessage:
    message = message_from_bytes(sent(composed(**content)).octets, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def shape(message: Any) -> Any:
    if not message.is_multipart():
        return message.get_content_type()
    inner = [shape(part) for part in message.iter_parts()]
    return {message.get_content_subtype(): inner}


def test_a_plain_message_is_exactly_this() -> None:
    got = sent(composed(bcc=[{"address": "eve@hidden.test"}]))
    assert (got.eight_bit, got.utf8_headers) == (False, False)
    assert got.octets.decode("ascii").split("\r\n") == [
        "Date: Sun, 01 Mar 2026 12:00:00 +0000",
        "Message-ID: <0195f0c2-6e0b-7c3a-8000-123456789abc@example.com>",
        "X-Mailproxy-Id: 0195f0c2-6e0b-7c3a-8000-123456789abc",
        "From: shop@example.com",
        "To: ann@example.net",
        "Subject: Your order",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 7bit",
        "",
        "It is on its way.",
        "",
    ]


def test_all_address_lists_stand_in_their_headers() -> None:
    message = parsed(
        from_address={"address": "shop@example.com", "display_name": 'The "Shop", Ltd.'},
        to=[{"address": "a@b.test", "display_name": "Ann Lee"}, {"address": "c@d.test"}],
        cc=[{"address": "e@f.test", "display_name": "Jürgen, Müller"}],
        reply_to=[{"address": "g@h.test"}],
    )
    assert message["From"].addresses[0].display_name == 'The "Shop", Ltd.'
    assert message["To"] == "Ann Lee <a@b.test>, c@d.test"
    assert message["Cc"].addresses[0].display_name == "Jürgen, Müller"
    assert message["Reply-To"] == "g@h.test"


def test_only_blind_recipients_are_undisclosed() -> None:
    message = parsed(to=[], bcc=[{"address": "eve@hidden.test"}])
    assert (message["To"], message["Cc"]) == ("undisclosed-recipients:;", None)
    assert parsed(to=[], cc=[{"address": "a@b.test"}])["To"] is None


FILE = {"filename": "a.pdf", "content": b"%PDF"}
LOGO = {"content_id": "logo", "inline": True, "media_type": "image/png", "content": b"\x89PNG"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, "text/plain"),
        ({"text_body": "", "html_body": "<img>"}, "text/html"),
        ({"text_body": "", "html_body": "h"}, {"alternative": ["text/plain", "text/html"]}),
        ({"html_body": "h"}, {"alternative": ["text/plain", "text/html"]}),
        ({"attachments": [FILE]}, {"mixed": ["text/plain", "application/pdf"]}),
        ({"text_body": "", "attachments": [FILE]}, {"mixed": ["application/pdf"]}),
        ({"attachments": [LOGO]}, {"mixed": ["text/plain", "image/png"]}),
        (
            {"text_body": "", "html_body": "<img>", "attachments": [LOGO]},
            {"related": ["text/html", "image/png"]},
        ),
        (
            {"html_body": "h", "attachments": [FILE, LOGO]},
            {
                "mixed": [
                    {"alternative": ["text/plain", {"related": ["text/html", "image/png"]}]},
                    "application/pdf",
                ]
            },
        ),
    ],
)
def test_the_tree_follows_from_what_there_is(content: dict[str, Any], expected: Any) -> None:
    assert shape(parsed(**content)) == expected


def test_files_arrive_exactly_with_their_names_and_ids() -> None:
    files = [FILE, LOGO, {"filename": "Größe – 日本.bin", "content": bytes(range(256)) * 9}]
    message = parsed(html_body='<img src="cid:logo">', attachments=files)
    logo, pdf, other = (p for p in message.walk() if p.get_content_disposition())
    assert (logo["Content-ID"], logo.get_content_disposition()) == ("<logo>", "inline")
    assert (pdf.get_filename(), pdf.get_content()) == ("a.pdf", b"%PDF")
    assert other.get_content_type() == "application/octet-stream"
    assert other.get_filename() == other.get_param("name") == "Größe – 日本.bin"
    assert other.get_content() == bytes(range(256)) * 9


def test_an_attached_message_is_not_encoded_unless_it_must() -> None:
    plain = {"filename": "a.eml", "content": b"Subject: inner\r\n\r\nx\r\n"}
    eight_bit = {"filename": "b.eml", "content": b"Subject: inner\r\n\r\n\xff\n"}
    one, other = list(parsed(attachments=[plain, eight_bit]).iter_attachments())
    assert (one.get_content_type(), one["Content-Transfer-Encoding"]) == ("message/rfc822", "7bit")
    assert other.get_content_type() == "application/octet-stream"
    assert other.get_content() == eight_bit["content"]


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("plain\n" * 9, "7bit"),
        ("x" * 998 + "\n", "7bit"),
        ("x" * 999 + "\n", "quoted-printable"),
        ("Grüße, mit freundlichen\n" * 9, "quoted-printable"),
        ("日本語のテキスト\n" * 9, "base64"),
        ("nul \0 here\n", "quoted-printable"),
    ],
)
def test_the_encoding_is_the_lightest_that_carries_the_text(text: str, encoding: str) -> None:
    message = parsed(text_body=text)
    assert message["Content-Transfer-Encoding"] == encoding
    assert message.get_content() == text.replace("\n", "\r\n")


def test_line_ends_of_any_kind_become_crlf() -> None:
    octets = sent(composed(text_body="a\nb\rc\r\nd\n\re")).octets
    assert octets.endswith(b"\r\n\r\na\r\nb\r\nc\r\nd\r\n\r\ne\r\n")


def test_a_boundary_never_occurs_in_a_part() -> None:
    first = sent(composed(html_body="<p>")).octets
    stem = first.split(b'boundary="')[1].split(b'"')[0].decode()[:-1]
    message = parsed(text_body=f"--{stem}a\n--{stem}a--\n", html_body="<p>")
    assert stem not in message["Content-Type"]
    assert shape(message) == {"alternative": ["text/plain", "text/html"]}


def test_a_local_part_beyond_ascii_makes_utf8_headers() -> None:
    got = sent(composed(to=[{"address": "jürgen@bücher.example", "display_name": "Jürgen"}]))
    assert got.utf8_headers
    assert not got.eight_bit
    assert "<jürgen@xn--bcher-kva.example>".encode() in got.octets


def test_a_thousand_recipients_are_folded() -> None:
    octets = sent(composed(to=[{"address": f"a{n}@b.test"} for n in range(1000)])).octets
    assert max(map(len, octets.split(b"\r\n"))) <= 78


def test_the_date_is_in_utc_and_in_english() -> None:
    local = datetime(2026, 1, 1, 0, 30, 5, tzinfo=timezone(timedelta(hours=2)))
    assert format_date(local) == "Wed, 31 Dec 2025 22:30:05 +0000"


def test_the_same_arguments_give_the_same_octets() -> None:
    email = composed(html_body="<p>", attachments=[FILE, LOGO])
    one, other = (compose(email, message_id="m", date=NOW) for _ in range(2))
    assert one == other
    assert one != compose(email, message_id="n", date=NOW)
