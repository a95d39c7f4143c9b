"""Encoded-words (RFC 2047): how text that is not plain ASCII stands in a header.

Every word written here is UTF-8, holds whole characters and is at most 75 characters long
(section 2). What is read may be anybody's.
"""

import binascii
import re
from collections.abc import Iterator
from typing import Final

WORD_LIMIT: Final = 75
"""Characters of one encoded-word (RFC 2047 section 2)."""

FIRST_MINIMUM: Final = 32
"""The least room for a first word: less, and it goes to a line of its own."""

_OVERHEAD: Final = len("=?utf-8?q??=")
_LOOKS_LIKE = re.compile(r"(?:^|[ \t])=\?|=\?[^?]*\?[bBqQ]\?")
_ANY = re.compile(r"=\?([^?]*)\?([bBqQ])\?(.*?)\?=", re.DOTALL)
_OURS = re.compile(r"=\?utf-8\?([bq])\?([!-<>@-~=]*)\?=")
_BETWEEN = re.compile(r"(?<=\?=)[ \t]+(?==\?utf-8\?[bq]\?)")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/")
_Q_TABLE: Final = {
    octet: "_" if octet == 0x20 else chr(octet) if octet in _SAFE else f"={octet:02X}"
    for octet in range(256)
}
_Q_CHARACTER = re.compile(r"=[C-F][0-9A-F](?:=[89AB][0-9A-F])+|=[0-9A-F]{2}|[^=]")
_Q_ESCAPE = re.compile(r"=([0-9A-Fa-f]{2})")


def looks_encoded(text: str) -> bool:
    """Whether a reader might take part of the text for an encoded-word."""
    return "=?" in text and _LOOKS_LIKE.search(text) is not None


def encode(text: str, first: int = WORD_LIMIT, rest: int = WORD_LIMIT) -> list[str]:
    """Give the text as encoded-words, of at most `first` and then `rest` characters.

    The shorter of Q and B is taken, Q when they are alike. Q uses only what a phrase
    allows (section 5, rule 3), so that one form fits everywhere.
    """
    octets = text.encode()
    quoted = octets.decode("latin-1").translate(_Q_TABLE)
    if len(quoted) <= (len(octets) + 2) // 3 * 4:
        return [f"=?utf-8?q?{chunk}?=" for chunk in _q_chunks(quoted, first, rest)]
    return [f"=?utf-8?b?{chunk}?=" for chunk in _b_chunks(octets, first, rest)]


def _q_chunks(quoted: str, first: int, rest: int) -> list[str]:
    room = first - _OVERHEAD
    if len(quoted) <= room:
        return [quoted]
    chunks, start, end = [], 0, 0
    for match in _Q_CHARACTER.finditer(quoted):
        if match.end() - start > room:
            chunks.append(quoted[start:end])
            start, room = end, rest - _OVERHEAD
        end = match.end()
    return [*chunks, quoted[start:]]


def _b_chunks(octets: bytes, first: int, rest: int) -> Iterator[str]:
    room, start = first - _OVERHEAD, 0
    while start < len(octets):
        end = min(start + room // 4 * 3, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:
            end -= 1
        yield binascii.b2a_base64(octets[start:end], newline=False).decode("ascii")
        start, room = end, rest - _OVERHEAD


def decode_ours(text: str) -> str:
    """Give what a text with encoded-words of ours says; raises `ValueError` on broken ones.

    White space between two of them is not part of it (section 6.2).
    """
    joined = _BETWEEN.sub("", text)
    return _OURS.sub(lambda m: _octets(m[1], m[2]).decode("utf-8"), joined)


def readings(text: str) -> Iterator[str]:
    """Give all that a reader may see in foreign encoded-words: their ASCII octets, then decoded."""
    for match in _ANY.finditer(text[: text.rfind("?=") + 2]):
        charset, kind, payload = match.groups()
        try:
            octets = _octets(kind, payload)
            yield octets.decode("ascii", "ignore")
            yield octets.decode(charset.partition("*")[0] or "utf-8", "replace")
        except (LookupError, ValueError):
            continue


def _octets(kind: str, payload: str) -> bytes:
    if kind in "bB":
        padded = payload + "=" * (-len(payload) % 4)
        return binascii.a2b_base64(padded.encode("utf-8"))
    raw = payload.replace("_", " ").encode("utf-8").decode("latin-1")
    return _Q_ESCAPE.sub(lambda m: chr(int(m[1], 16)), raw).encode("latin-1")
