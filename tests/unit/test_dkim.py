"""Signatures hold for dkimpy, whatever the message; and break where they must."""

import random

import pytest
from dkim.canonicalization import Relaxed
from hypothesis import given
from hypothesis import strategies as st
from mailproxy_server.content.dkim import BodyHash, Signature, relaxed_body, signatures
from mailproxy_server.content.dkim_keys import NotAKey, dns_text, read_key

from tests.support.dkim_verifier import ED25519, RSA, holds, verified

KEYS = [
    Signature("example.com", "rsa1", read_key(RSA)),
    Signature("example.com", "ed1", read_key(ED25519)),
]
RECORDS = {
    f"{one.selector}._domainkey.{one.domain}": dns_text(one.key.algorithm, one.key.public)
    for one in KEYS
}
HEAD = (
    b"Date: Sun, 01 Mar 2026 12:00:00 +0000\r\nMessage-ID: <1@example.com>\r\n"
    b"From: Shop <shop@example.com>\r\nTo: ann@example.net,\r\n\tbob@example.net\r\n"
    b"Subject: Your   order \r\nMIME-Version: 1.0\r\nX-Own: not signed\r\n"
    b"List-Unsubscribe: <https://example.com/u>\r\n"
    b"List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"
    b"Content-Type: text/plain; charset=utf-8\r\n"
)
BODY = b"It is on its way.\r\n"


def signed(head: bytes = HEAD, body: bytes = BODY, keys: list[Signature] = KEYS,
           unsigned: tuple[str, ...] = ()) -> bytes:  # fmt: skip
    digest = BodyHash()
    digest.feed(body)
    made = signatures(head, digest.digest(), keys, unsigned=unsigned, instant=1_772_366_400)
    return made + head + b"\r\n" + body


def test_both_algorithms_sign_and_hold() -> None:
    octets = signed()
    assert verified(octets, RECORDS) == 2
    assert all(len(line) <= 80 for line in octets.partition(b"\r\nDate")[0].split(b"\r\n"))
    assert octets == signed()
    assert b"t=1772366400;" in octets


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"on its way", b"on her way"),
        (b"Subject: Your   order", b"Subject: Your debt"),
        (b"From: Shop", b"From: Other"),
        (b"ann@example.net", b"eve@example.net"),
        (b"1@example.com", b"2@example.com"),
        (b"12:00:00", b"13:00:00"),
        (b"https://example.com/u", b"https://example.net/u"),
        (b"One-Click", b"Two-Clicks"),
        (b"To: ann", b"From: eve@example.net\r\nTo: ann"),
        (b"\r\n\r\nIt", b"\r\nFrom: eve@example.net\r\n\r\nIt"),
        (BODY, BODY + b"more\r\n"),
    ],
)
def test_what_is_changed_or_added_breaks_them(old: bytes, new: bytes) -> None:
    octets = signed().replace(old, new, 1)
    assert not holds(octets, RECORDS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"X-Own: not signed", b"X-Own: anything"),
        (b"Subject: Your   order ", b"subject:Your\r\n  order"),
        (b"To: ann@example.net,\r\n\tbob", b"To: ann@example.net, bob"),
        (b"It is on", b"It  is\ton"),
        (b"way.\r\n", b"way. \t\r\n\r\n\r\n"),
        (b"DKIM-Signature: v", b"Received: by relay\r\nDKIM-Signature: v"),
    ],
)
def test_what_relays_do_to_messages_breaks_nothing(old: bytes, new: bytes) -> None:
    octets = signed()
    assert old in octets
    assert verified(octets.replace(old, new, 1), RECORDS) == 2


def test_what_a_relay_rewrites_is_left_out() -> None:
    octets = signed(unsigned=("message-id", "date", "from"))
    for old in (b"1@example.com", b"12:00:00"):
        assert verified(octets.replace(old, b"changed"), RECORDS) == 2
    assert not holds(octets.replace(b"From: Shop", b"From: Other"), RECORDS)


BODIES = st.lists(
    st.sampled_from([b"a", b"word", b" ", b"  ", b"\t", b"\r\n", b"\r\n\r\n", b".", b"\xc3\xbc"]),
    max_size=30,
).map(b"".join)


@given(BODIES, st.integers(0, 2**32))
def test_a_body_is_digested_the_same_in_whatever_pieces(body: bytes, seed: int) -> None:
    whole, pieces = BodyHash(), BodyHash()
    whole.feed(body)
    rest, chance = body, random.Random(seed)
    while rest:
        cut = chance.randint(1, len(rest))
        pieces.feed(rest[:cut])
        rest = rest[cut:]
    assert whole.digest() == pieces.digest()


@given(BODIES)
def test_any_body_holds(body: bytes) -> None:
    ended = body if body.endswith(b"\r\n") or not body else body + b"\r\n"
    assert verified(signed(body=ended, keys=KEYS[1:]), RECORDS) == 1


NAMES = st.sampled_from([b"Subject", b"To", b"X-Own", b"Reply-To", b"References", b"List-Id"])
VALUES = st.lists(st.sampled_from([b"a", b"b c", b" ", b"\t", b"\r\n ", b"\xc3\xbc", b":"]),
                  max_size=8).map(b"".join).filter(lambda v: b"\r\n \r\n" not in v)  # fmt: skip


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_any_header_holds(fields: list[tuple[bytes, bytes]]) -> None:
    lines = b"".join(b"%b: x%by\r\n" % field for field in fields)
    head = b"From: shop@example.com\r\n" + lines
    assert verified(signed(head=head, keys=KEYS[1:]), RECORDS) == 1


def test_a_domain_speaks_for_itself_and_what_is_below() -> None:
    one = KEYS[0]
    assert one.speaks_for("example.com")
    assert one.speaks_for("news.example.com")
    for domain in ("", "com", "example.net", "badexample.com", "example.com.evil.test"):
        assert not one.speaks_for(domain)


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "no key",
        RSA.replace("A", "B"),
        RSA[:200],
        "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
    ],
)
def test_what_is_no_key_is_refused_without_being_repeated(pem: str) -> None:
    with pytest.raises(NotAKey) as raised:
        read_key(pem)
    assert not pem or pem not in str(raised.value)


def test_the_relaxed_body_is_dkimpys() -> None:
    for body in (b" a  b \t\r\n\r\nc\t \r\n", b"\r\n", b"  \r\n a", b"a\r\n \r\n\r\n"):
        theirs: bytes = Relaxed.canonicalize_body(body)
        mine = relaxed_body(body.rstrip(b" \t\r\n"))
        assert theirs == (mine + b"\r\n" if mine else b"")
