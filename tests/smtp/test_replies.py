"""The reply reader: the same replies however the bytes are cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mailproxy_server.mail.transcript import Fault, FaultKind, Reply
from mailproxy_server.smtp.offer import read_offer
from mailproxy_server.smtp.replies import LINE_LIMIT, ReplyReader, make_reply

STREAM = (
    b"250 2.1.0 Ok\r\n250-2.1.5 first\r\n250 2.1.5 second\r\n354 go\n"
    b"550-5.1.1 no\r\n550-\r\n550 5.1.1 really\r\n250\r\n421 4.3.2 \xc3\xa9\xff\r\n"
)
REPLIES = [
    Reply(250, "2.1.0", "Ok"),
    Reply(250, "2.1.5", "first\nsecond"),
    Reply(354, "", "go"),
    Reply(550, "5.1.1", "no\n\nreally"),
    Reply(250),
    Reply(421, "4.3.2", "é\ufffd"),
]


@given(st.lists(st.integers(0, len(STREAM))))
def test_the_same_replies_however_the_bytes_are_cut(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    reader = ReplyReader()
    read = [reply for start, end in pairwise(edges) for reply in reader.feed(STREAM[start:end])]
    assert read == REPLIES
    assert not reader.inside


@given(st.binary(max_size=200))
def test_no_bytes_whatever_raise_and_a_fault_is_the_last_word(octets: bytes) -> None:
    reader = ReplyReader()
    read = reader.feed(octets)
    faults = [n for n, what in enumerate(read) if isinstance(what, Fault)]
    assert faults in ([], [len(read) - 1])
    if faults:
        assert reader.feed(b"250 Ok\r\n") == []


@pytest.mark.parametrize(
    ("code", "text", "enhanced", "words"),
    [
        (550, "5.1.1 no", "5.1.1", "no"),
        (250, "5.1.1 odd", "", "5.1.1 odd"),
        (450, "4.07.01 x", "4.7.1", "x"),
        (250, "2.0.0", "2.0.0", ""),
        (250, "2.0.0.1 x", "", "2.0.0.1 x"),
        (250, "a\x00b\x1bc", "", "a b c"),
        (250, "lone \udcff", "", "lone ?"),
    ],
)
def test_the_enhanced_code_is_told_from_the_words(
    code: int, text: str, enhanced: str, words: str
) -> None:
    assert make_reply(code, text) == Reply(code, enhanced, words)


def test_a_line_without_end_is_a_fault() -> None:
    (fault,) = ReplyReader().feed(b"250 " + b"x" * LINE_LIMIT)
    assert isinstance(fault, Fault)
    assert fault.kind is FaultKind.PROTOCOL


def test_what_ehlo_offers_is_read_and_nonsense_in_it_is_not() -> None:
    offer = read_offer({"size": "1000", "limits": "RCPTMAX=5 MAILMAX=x", "dsn": "", "x-y": "z"})
    assert (offer.max_size, offer.max_recipients, offer.max_transactions) == (1000, 5, 0)
    assert (offer.dsn, offer.pipelining) == (True, False)
    assert offer.keywords == ("SIZE 1000", "LIMITS RCPTMAX=5 MAILMAX=x", "DSN", "X-Y z")
    assert read_offer({"size": "many"}).max_size == 0
