"""Unpacks what an HTTP server packed (RFC 9110 section 8.4.1), a bounded piece at a time.

A bomb stays one on the disk only: never more than a piece of it is in memory, and the spool ends
it at its limit.
"""

import zlib
from collections.abc import AsyncIterator

from mailproxy_server.content.sources.source import PIECE, Unfetchable

_PLAIN = frozenset({"", "identity"})
_GZIP = frozenset({"gzip", "x-gzip"})


async def unfolded(pieces: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
    """Give the octets as they were before the server packed them; raises `Unfetchable`."""
    if coding in _PLAIN:
        async for piece in pieces:
            yield piece
        return
    if coding not in _GZIP | {"deflate"}:
        raise Unfetchable("its server packs it in a way that was not asked for")
    unpacking = None
    async for piece in pieces:
        if unpacking is None:
            unpacking = zlib.decompressobj(_window(coding, piece))
        while piece:
            try:
                octets = unpacking.decompress(piece, PIECE)
            except zlib.error:
                raise Unfetchable("what its server packed does not unpack", passing=True) from None
            if octets:
                yield octets
            if unpacking.eof:
                return
            piece = unpacking.unconsumed_tail
    if unpacking is not None and not unpacking.eof:
        raise Unfetchable("what its server packed breaks off", passing=True)


def _window(coding: str, first: bytes) -> int:
    """RFC 9110 means zlib by "deflate"; some servers mean the bare form."""
    if coding in _GZIP:
        return 16 + zlib.MAX_WBITS
    return zlib.MAX_WBITS if first[:1] == b"\x78" else -zlib.MAX_WBITS
