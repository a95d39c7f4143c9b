"""The strict reading of header blocks, and that composing does not pass it by."""

from typing import Any

import pytest
from mailproxy_server.content import words
from mailproxy_server.content.compose import compose
from mailproxy_server.content.verify import HeaderMismatch, verify

from tests.support.emails import MESSAGE_ID, NOW, composed

MEANT = [("To", "ann@b.test"), ("Subject", "Grüße an alle")]


@pytest.mark.parametrize(
    "block",
    [
        "To: ann@b.test\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe_an_alle?=\r\n",
        "To: ann@b.test\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?=\r\n =?utf-8?q?_an_alle?=\r\n",
        "To: ann@b.test\r\nSubject:\r\n =?utf-8?q?Gr=C3=BC=C3=9Fe?= an\r\n alle\r\n",
    ],
)
def test_a_block_that_says_what_was_meant_passes(block: str) -> None:
    verify(block, MEANT)


@pytest.mark.parametrize(
    "block",
    [
        "",
        "To: ann@b.test\r\n",
        "To: ann@b.test\r\nSubject: Gruss\r\n",
        "To: ann@b.test\r\nSubject: Grüße an alle",
        "To: ann@b.test\r\nSubject: Grüße an alle\r\nBcc: eve@b.test\r\n",
        "To: ann@b.test\r\nSubject: Grüße an alle\r\n\r\n",
        "To: ann@b.test\r\n\r\nSubject: Grüße an alle\r\n",
        "To: ann@b.test\r\nSubject: Grüße\n an alle\r\n",
        "To: ann@b.test\r\nSubject: Grüße\r an alle\r\n",
        "To: ann@b.test\r\nSubject: Grüße\x0b an alle\r\n",
        "To: ann@b.test\r\nSubject: Grüße\x85 an alle\r\n",
        "To: ann@b.test\r\nSubject: Grüße\u2028 an alle\r\n",
        "To: ann@b.test\r\nSubject: Grüße\0 an alle\r\n",
        "To: ann@b.test\r\nSubject: Grüße an alle\r\n \r\n",
        " To: ann@b.test\r\nSubject: Grüße an alle\r\n",
        "To: ann@b.test\r\nSubject : Grüße an alle\r\n",
        "To: ann@b.test\r\nSubject:Grüße an alle\r\n",
        "To: ann@b.test\r\nsubject: Grüße an alle\r\n",
        "Subject: Grüße an alle\r\nTo: ann@b.test\r\n",
        "To: ann@b.test\r\nSubject: =?utf-8?q?Gr=C3?=\r\n =?utf-8?q?=BC=C3=9Fe_an_alle?=\r\n",
        "To: ann@b.test\r\nSubject: =?utf-8?q?Gr=FC=DFe_an_alle?=\r\n",
        "To: ann@b.test\r\nSubject: Grüße an alle" + " " * 999 + "\r\n",
    ],
)
def test_any_other_block_does_not(block: str) -> None:
    with pytest.raises(HeaderMismatch):
        verify(block, MEANT)


@pytest.mark.parametrize(
    "content",
    [
        {"subject": "a\r\nBcc: eve@b.test"},
        {"subject": "a\r\n\r\nbody"},
        {"to": [{"address": "ann@b.test\r\nBcc: eve@b.test"}]},
        {"to": [{"address": "ann@b.test", "display_name": "a\nb"}]},
        {"headers": [{"name": "X-A: b\r\nBcc", "value": "eve@b.test"}]},
        {"headers": [{"name": "X-A", "value": "a\r\n\r\nbody"}]},
        {"attachments": [{"filename": "a", "media_type": "a/b\r\nX: y", "content": b"a"}]},
        {"attachments": [{"content_id": "a>\r\nX: y", "content": b"a"}]},
    ],
)
def test_composing_what_was_never_admitted_raises(content: dict[str, Any]) -> None:
    with pytest.raises(HeaderMismatch):
        compose(composed(**content), message_id=MESSAGE_ID, date=NOW)


@pytest.mark.parametrize(
    "text", ["é" * 500, "a" * 500, "日本" * 200, "a é" * 100, "\U0001f600" * 99]
)
@pytest.mark.parametrize("first", [32, 50, 75])
def test_encoded_words_are_short_and_hold_whole_characters(text: str, first: int) -> None:
    encoded = words.encode(text, first)
    assert len(encoded[0]) <= first
    assert all(len(word) <= words.WORD_LIMIT for word in encoded)
    assert "".join(map(words.decode_ours, encoded)) == text
    assert words.decode_ours(" ".join(encoded)) == text
