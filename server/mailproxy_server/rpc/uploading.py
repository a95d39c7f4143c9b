"""UploadAttachment: a file comes in chunks and is kept; and what a message may name of them."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailproxy.v1 import message_pb2

from mailproxy_server.content.attachments import blob_name
from mailproxy_server.content.codec import Admitted
from mailproxy_server.content.sources.spool import Spool, TooLarge
from mailproxy_server.mail.errors import CallerError, InvalidFields, invalid
from mailproxy_server.queue import blobs
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.submission import utc_now

CHUNK_LIMIT = 2**20
"""Octets of one chunk of an upload."""
STALL_SECONDS = 60.0
"""How long an upload may pause."""
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

Request = message_pb2.UploadAttachmentRequest
Response = message_pb2.UploadAttachmentResponse


@dataclass(frozen=True, slots=True)
class Uploads:
    """Takes files of at most `one` octets; `memory` of each are held while it comes, and all of it
    for `ttl` after its last use. A message may name at most `all` octets of them."""

    pool: Pool
    one: int
    all: int
    memory: int
    ttl: timedelta

    async def take(self, requests: AsyncIterator[Request], call: Call) -> Response:
        """Keep what is uploaded; nothing of it before its end has come."""
        start = await self._start(requests)
        if start.sha256 and (known := await self._known(call, bytes.fromhex(start.sha256))):
            return known
        with Spool(self.one, self.memory) as spool:
            try:
                async for chunk in _chunks(requests):
                    await spool.write(chunk)
            except TooLarge:
                raise self._too_large(f"more than {self.one}") from None
            if start.octets and spool.octets != start.octets:
                raise invalid("start.octets", f"{spool.octets} bytes came, not {start.octets}")
            if start.sha256 and spool.sha256.hex() != start.sha256:
                raise invalid("start.sha256", "is not the digest of the bytes that came")
            async with borrowed(self.pool) as link:
                digests = (spool.sha256, spool.md5)
                new = await blobs.keep(
                    link, call.tenant_id, digests, spool.octets, spool.chunks(blobs.CHUNK)
                )
            blob = blobs.Blob(spool.sha256, spool.md5, spool.octets, utc_now())
            return self._answer(blob, known=not new, used_at=utc_now())

    async def check_named(self, call: Call, admitted: Admitted, path: str) -> None:
        """See that every upload that a message names is kept, and keep it; raise otherwise."""
        named = [digest for digest in admitted.blobs or () if digest]
        async with borrowed(self.pool) as link:
            found = await blobs.find(link, call.tenant_id, named)
            await blobs.touch(link, call.tenant_id, list(found))
        field = f"{path}email.composed.attachments"
        for digest in named:
            if digest not in found:
                words = (
                    f"{blob_name(digest)} is not kept (any more): upload it with UploadAttachment"
                )
                raise invalid(field, words)
        total = sum(found[digest].octets for digest in named)
        if total > self.all:
            raise invalid(field, f"the files have {total} bytes together; at most {self.all}")

    async def _start(self, requests: AsyncIterator[Request]) -> message_pb2.UploadStart:
        first = await _next(requests)
        if first is None or first.WhichOneof("part") != "start":
            raise invalid("start", "is required in the first request")
        start = first.start
        start.sha256 = start.sha256.lower()
        if start.sha256 and not _SHA256.match(start.sha256):
            raise invalid("start.sha256", "is not 64 hexadecimal digits")
        if start.octets < 0:
            raise invalid("start.octets", "is negative")
        if start.octets > self.one:
            raise self._too_large(str(start.octets))
        return start

    async def _known(self, call: Call, sha256: bytes) -> Response | None:
        async with borrowed(self.pool) as link:
            found = await blobs.find(link, call.tenant_id, [sha256])
            await blobs.touch(link, call.tenant_id, list(found))
        return self._answer(found[sha256], known=True, used_at=utc_now()) if found else None

    def _answer(self, blob: blobs.Blob, *, known: bool, used_at: datetime) -> Response:
        response = Response(
            blob=blob_name(blob.sha256), md5=blob.md5.hex(), octets=blob.octets, known=known
        )
        response.expire_time.FromDatetime(used_at + self.ttl)
        return response

    def _too_large(self, octets: str) -> InvalidFields:
        limit = f"this server keeps at most {self.one} (MAILPROXY_MAX_ATTACHMENT_BYTES)"
        return invalid("chunk", f"the file has {octets} bytes; {limit}")


async def _chunks(requests: AsyncIterator[Request]) -> AsyncIterator[bytes]:
    while (request := await _next(requests)) is not None:
        if request.WhichOneof("part") == "start":
            raise invalid("start", "may stand in the first request only")
        if len(request.chunk) > CHUNK_LIMIT:
            words = f"has {len(request.chunk)} bytes; at most {CHUNK_LIMIT} in one request"
            raise invalid("chunk", words)
        yield request.chunk


async def _next(requests: AsyncIterator[Request]) -> Request | None:
    try:
        async with asyncio.timeout(STALL_SECONDS):
            return await anext(requests, None)
    except TimeoutError:
        words = f"nothing of the upload came for {STALL_SECONDS:g} s"
        raise CallerError("DEADLINE", words) from None
