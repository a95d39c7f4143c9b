"""Segments of a composed message: octets, or a file that is kept elsewhere and comes in base64.

Pure. So a message is composed without holding its files, and its size is known before they are
read (RFC 1870).
"""

import binascii
from dataclasses import dataclass
from typing import Final

LINE: Final = 76
_OCTETS_A_LINE: Final = 57


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file by its SHA-256; `octets` as it is kept, before its encoding."""

    sha256: bytes
    octets: int

    @property
    def encoded(self) -> int:
        """Octets of it in base64, in lines, without a line end at its end."""
        return encoded_size(self.octets)


Segment = bytes | FileRef


def encoded_size(octets: int) -> int:
    """Give the octets of so many in base64, in lines of 76."""
    if not octets:
        return 0
    return (octets + 2) // 3 * 4 + 2 * ((octets - 1) // _OCTETS_A_LINE)


def size_of(segment: Segment) -> int:
    """Give the octets of a segment as it is sent."""
    return segment.encoded if isinstance(segment, FileRef) else len(segment)


class Base64:
    """Encodes a file piece by piece, as `transfer.encode_binary` does at once."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun = False

    def feed(self, octets: bytes) -> bytes:
        """Give the lines that are complete."""
        octets = self._rest + octets
        whole = len(octets) - len(octets) % _OCTETS_A_LINE
        self._rest = octets[whole:]
        return self._lines(octets[:whole])

    def end(self) -> bytes:
        """Give the last line."""
        rest, self._rest = self._rest, b""
        return self._lines(rest)

    def _lines(self, octets: bytes) -> bytes:
        if not octets:
            return b""
        joined = binascii.b2a_base64(octets, newline=False)
        lines = [joined[start : start + LINE] for start in range(0, len(joined), LINE)]
        first = b"\r\n" if self._begun else b""
        self._begun = True
        return first + b"\r\n".join(lines)
