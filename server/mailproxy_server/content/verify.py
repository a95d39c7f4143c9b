"""Reads a header block back and compares it with what was meant: the last word on injection.

The reading is our own and strict; it shares no code with what writes headers.
"""

import re
from collections.abc import Sequence

from mailproxy_server.content import words

Field = tuple[str, str]
"""Name and text of one header field: unfolded, encoded-words decoded."""

_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_LIMIT = 998


class HeaderMismatch(ValueError):
    """The block does not say what was meant. Never the text of the header itself."""


def verify(block: str, meant: Sequence[Field]) -> None:
    """Raise `HeaderMismatch` unless the block parses to exactly `meant`.

    A block is lines that end with CRLF, without the empty line after them.
    """
    fields = _unfold(block)
    if len(fields) != len(meant):
        raise HeaderMismatch(f"{len(fields)} header fields where {len(meant)} were meant")
    for field, (name, text) in zip(fields, meant, strict=True):
        if field != f"{name}: {text}":
            _compare(field, name, text)


def _unfold(block: str) -> list[str]:
    bare = block.replace("\r\n", "").replace("\t", "")
    if not bare.isprintable() and _ODD.search(bare):
        raise HeaderMismatch("a control character in a header block")
    lines = block.split("\r\n")
    if lines.pop():
        raise HeaderMismatch("a header block that does not end with a line end")
    fields: list[list[str]] = []
    for line in lines:
        if len(line) > _LINE_LIMIT:
            raise HeaderMismatch(f"a header line longer than {_LINE_LIMIT}")
        if not line.startswith((" ", "\t")):
            fields.append([line])
        elif fields and not line.isspace():
            fields[-1].append(line)
        else:
            raise HeaderMismatch("a continuation of nothing, or one without content")
    return ["".join(field) for field in fields]


def _compare(field: str, name: str, text: str) -> None:
    head, colon, value = field.partition(": ")
    if head != name or not colon:
        raise HeaderMismatch("a header field under another name than was meant")
    try:
        said = words.decode_ours(value)
    except ValueError:
        raise HeaderMismatch(f"the header {name} cannot be decoded") from None
    if said != text:
        raise HeaderMismatch(f"the header {name} says something else than was meant")
