"""What a composed message gets of itself: a text beside its HTML, and one-click unsubscribing."""

from email import message_from_bytes, policy
from typing import Any

import pytest
from mailproxy_server.content.codec import admit
from mailproxy_server.content.plain import HTML_LIMIT, text_of

from tests.support.emails import NOW, composed, sent

LINK = "<https://example.com/u?x=1>"
BOTH = f"<mailto:u@x.test>, {LINK}"
ONE_CLICK = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


def read(**content: Any) -> Any:
    return message_from_bytes(sent(composed(**content)).octets, policy=policy.default)


def text_part(html: str) -> str | None:
    body = read(text_body="", html_body=html).get_body(("plain",))
    return None if body is None else str(body.get_content()).replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Dear <b>Ann</b>,</p><p>It is on its way.</p>", "Dear Ann,\n\nIt is on its way.\n"),
        ("Grüße<br>aus&nbsp;Köln &amp; Umgebung", "Grüße\naus Köln & Umgebung\n"),
        ('See <a href="https://x.test/o/1">your order</a>.', "See [your order](https://x.test/o/1).\n"),
        ("<ul><li>one</li><li>two</li></ul>", "  * one\n  * two\n"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><th>c</th></tr></table>", "a b\nc\n"),
        ("<style>p{}</style><script>evil()</script><!-- no --><p>x</p>", "x\n"),
        ("<p>unclosed <b>tags", "unclosed tags\n"),
        ("<?xml version='1.0' encoding='latin-1'?><p>ü</p>", "ü\n"),
        ("😀 &#x1F600;", "😀 😀\n"),
    ],
)  # fmt: skip
def test_html_alone_gets_a_text(html: str, text: str) -> None:
    assert text_part(html) == text


@pytest.mark.parametrize(
    "html", ["<img src='cid:a'>", " \n ", "<!-- -->", "<p></p>", "x" * (HTML_LIMIT + 1)]
)
def test_where_there_is_no_text_there_is_no_part(html: str) -> None:
    assert text_part(html) is None


def test_a_text_that_was_given_stays() -> None:
    message = read(text_body="own", html_body="<p>other</p>")
    assert message.get_body(("plain",)).get_content().strip() == "own"


def test_the_text_is_stored_and_no_part_of_what_a_repeat_is_held_against() -> None:
    html = composed(text_body="", html_body="<p>x</p>")
    admitted = admit(html, now=NOW, fingerprint=True)
    assert b"x\n" in admitted.content
    assert "composed.text_body" not in admitted.digests
    assert admit(html, now=NOW, fingerprint=True).digests == admitted.digests
    assert html.composed.text_body == ""


def test_a_table_of_two_cells_does_not_explode() -> None:
    rows = "<br>".join(["z"] * 15_000)
    hostile = f"<table><tr><td>{'y' * 40_000}<td>{rows}</table>"
    assert len(text_of(hostile)) < 200_000


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"List-Unsubscribe": LINK}, {"List-Unsubscribe": LINK, **ONE_CLICK}),
        ({"list-unsubscribe": BOTH}, {"list-unsubscribe": BOTH, **ONE_CLICK}),
        ({"List-Unsubscribe": "<mailto:u@x.test>"}, {"List-Unsubscribe": "<mailto:u@x.test>"}),
        ({"List-Unsubscribe": "<http://x.test/>"}, {"List-Unsubscribe": "<http://x.test/>"}),
        ({"List-Unsubscribe": LINK, "List-Unsubscribe-Post": "own=1"},
         {"List-Unsubscribe": LINK, "List-Unsubscribe-Post": "own=1"}),
        ({"List-Unsubscribe": LINK, "list-unsubscribe-post": ""}, {"List-Unsubscribe": LINK}),
        ({"X-Other": "a"}, {"X-Other": "a"}),
    ],
)  # fmt: skip
def test_an_https_address_to_unsubscribe_at_takes_one_click(
    given: dict[str, str], told: dict[str, str]
) -> None:
    message = read(headers=[{"name": name, "value": value} for name, value in given.items()])
    names = [name for name in message if name.lower().startswith(("list-", "x-other"))]
    assert {name: message[name] for name in names} == told
