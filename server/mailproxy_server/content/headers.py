"""Writes header fields: folding, unstructured text, address lists (RFC 5322, 2047, 6532).

Text comes in as plain Unicode that `content.text` let pass. A block remembers what was meant
and gives itself out only after `content.verify` read the same back.
"""

import re
from collections.abc import Iterable, Sequence

from mailproxy_server.content import words
from mailproxy_server.content.verify import Field, verify

Mailbox = tuple[str, str]
"""Address in normal form, and display name or ""."""

FOLD_AT = 76
"""Characters of a line from which it is folded: RFC 2047 section 2, two below RFC 5322's."""
_PIECE_LIMIT = 900

_PIECE = re.compile(r"[ \t]*[^ \t]+")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~\-]+)*\Z")
_SPECIAL = re.compile(r'["\\]')


class HeaderBlock:
    """Header fields in order, each with what it was meant to say."""

    __slots__ = ("_meant", "_written")

    def __init__(self) -> None:
        self._meant: list[Field] = []
        self._written: list[str] = []

    def text(self, name: str, text: str) -> None:
        """Add an unstructured field; what is not plain is encoded as a whole."""
        self._meant.append((name, text))
        self._written.append(_unstructured(name, text))

    def mailboxes(self, name: str, boxes: Sequence[Mailbox]) -> None:
        """Add an address list (RFC 5322 section 3.4)."""
        meant, written = _address_list(name, boxes)
        self._meant.append((name, meant))
        self._written.append(written)

    def pieces(self, name: str, pieces: Sequence[str]) -> None:
        """Add a structured field of ready pieces, each with the space before it."""
        self._meant.append((name, "".join(pieces)[1:]))
        self._written.append(fold(name, pieces))

    def extend(self, other: "HeaderBlock") -> None:
        """Add the fields of another block after these."""
        self._meant += other._meant
        self._written += other._written

    def checked(self) -> str:
        """Give the block, each line ended by CRLF; raises `verify.HeaderMismatch`."""
        block = "".join(self._written)
        verify(block, self._meant)
        return block


def fold(name: str, pieces: Iterable[str]) -> str:
    """Write one field; a line break goes before pieces, each of which begins with white space."""
    out = [name, ":"]
    width = start = len(name) + 1
    for piece in pieces:
        wide = width + len(piece) > FOLD_AT
        if wide and (width > start or piece.startswith(" =?")):
            out.append("\r\n")
            width = 0
        out.append(piece)
        width += len(piece)
    out.append("\r\n")
    return "".join(out)


def _unstructured(name: str, text: str) -> str:
    if text.isascii() and not words.looks_encoded(text) and text.strip(" \t") == text:
        if len(name) + len(text) + 2 <= FOLD_AT:
            return f"{name}: {text}\r\n"
        pieces = _PIECE.findall(f" {text}")
        if max(map(len, pieces)) <= _PIECE_LIMIT:
            return fold(name, pieces)
    return fold(name, _word_pieces(text, len(name) + 2))


def _word_pieces(text: str, column: int) -> list[str]:
    """Encoded-words for a line of which `column` characters are taken."""
    room = FOLD_AT - column
    first = min(room, words.WORD_LIMIT) if room >= words.FIRST_MINIMUM else words.WORD_LIMIT
    return [f" {word}" for word in words.encode(text, first)]


def _address_list(name: str, boxes: Sequence[Mailbox]) -> tuple[str, str]:
    if len(boxes) == 1:
        address, display = boxes[0]
        if not display:
            return address, f"{name}: {address}\r\n"
        short = len(name) + len(display) + len(address) <= FOLD_AT - 5
        if short and _ATOMS.match(display) and not words.looks_encoded(display):
            text = f"{display} <{address}>"
            return text, f"{name}: {text}\r\n"
    meant: list[str] = []
    pieces: list[str] = []
    for address, display in boxes:
        text, parts = _mailbox(address, display, len(name) + 2)
        meant.append(text)
        pieces += parts
        pieces[-1] += ","
    pieces[-1] = pieces[-1][:-1]
    return ", ".join(meant), fold(name, pieces)


def _mailbox(address: str, display: str, column: int) -> tuple[str, list[str]]:
    """One mailbox as it reads, and its pieces."""
    if not display:
        return address, [f" {address}"]
    if display.isascii() and not words.looks_encoded(display):
        if _ATOMS.match(display):
            return f"{display} <{address}>", [f" {display}", f" <{address}>"]
        if display == display.strip(" ") and "  " not in display:
            quoted = _SPECIAL.sub(r"\\\g<0>", display)
            return f'"{quoted}" <{address}>', [f' "{quoted}"', f" <{address}>"]
    parts = [*_word_pieces(display, column), f" <{address}>"]
    return f"{display} <{address}>", parts
