"""The body of a message that has files elsewhere: its segments, read as they are sent."""

from collections.abc import AsyncIterator, Sequence
from uuid import UUID

from mailproxy_server.content.segments import FileRef, Segment, size_of
from mailproxy_server.dispatcher.shelf import Shelf
from mailproxy_server.smtp.body import BodyLost


class StreamedBody:
    """What `smtp` takes as a `Body`. `lost` is the digest of the file that it broke off at."""

    def __init__(self, tenant_id: UUID, segments: Sequence[Segment], shelf: Shelf) -> None:
        self._tenant_id = tenant_id
        self._segments = segments
        self._shelf = shelf
        self.size = sum(map(size_of, segments))
        self.lost: bytes | None = None

    async def blocks(self) -> AsyncIterator[bytes]:
        """Give it from its beginning."""
        for segment in self._segments:
            if isinstance(segment, FileRef):
                try:
                    async for piece in self._shelf.pieces(self._tenant_id, segment):
                        yield piece
                except BodyLost:
                    self.lost = segment.sha256
                    raise
            else:
                yield segment
