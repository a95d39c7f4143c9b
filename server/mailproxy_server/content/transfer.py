"""Content-transfer-encodings (RFC 2045 section 6): 7bit as it is, else the smaller of two.

What comes out is ASCII in CRLF lines of at most 998 octets, without a line end at its end
where there was none.
"""

import binascii
from typing import Final

from mailproxy_server.content.segments import LINE, encoded_size

LINE_LIMIT: Final = 998
"""Octets of a line without its line end (RFC 5322 section 2.1.1)."""


def long_line(octets: bytes) -> int | None:
    """Give the offset of the first line longer than `LINE_LIMIT`, or None; lines end with CRLF.

    Hops a line length at a time, so that 30 MB take milliseconds.
    """
    start = 0
    while len(octets) - start > LINE_LIMIT:
        end = octets.rfind(b"\n", start, start + LINE_LIMIT + 2)
        if end < 0:
            return start
        start = end + 1
    return None


def encode_text(text: str) -> tuple[str, bytes]:
    """Give the encoding and the octets of a text; line ends of any kind become CRLF."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if text.isascii() and "\0" not in text:
        octets = text.replace("\n", "\r\n").encode("ascii")
        if long_line(octets) is None:
            return "7bit", octets
    octets = text.encode("utf-8")
    quoted = binascii.b2a_qp(octets, istext=True).replace(b"\n", b"\r\n")
    if len(quoted) <= encoded_size(len(octets)):
        return "quoted-printable", quoted
    return "base64", encode_binary(octets.replace(b"\n", b"\r\n"))


def encode_binary(octets: bytes) -> bytes:
    """Give octets in base64, exactly, in lines of 76."""
    joined = binascii.b2a_base64(octets, newline=False)
    if len(joined) <= LINE:
        return joined
    starts = range(0, len(joined), LINE)
    return b"\r\n".join([joined[start : start + LINE] for start in starts])


def seven_bit(octets: bytes) -> bool:
    """Whether octets may stand in a message as they are: ASCII, no NUL, CRLF, no long line."""
    return (
        octets.isascii()
        and b"\0" not in octets
        and octets.count(b"\r\n") == octets.count(b"\n") == octets.count(b"\r")
        and long_line(octets) is None
    )
