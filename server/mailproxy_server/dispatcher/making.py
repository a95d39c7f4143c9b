"""From a stored message to what goes to the relay: its files, composed, signed.

The same on every attempt by one account: composing and signing depend on what was stored only.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from mailproxy.v1 import message_pb2

from mailproxy_server.content import raw
from mailproxy_server.content.codec import restore
from mailproxy_server.content.compose import Composed, compose
from mailproxy_server.content.dkim import BodyHash, Signature, signatures
from mailproxy_server.content.segments import FileRef, Segment
from mailproxy_server.dispatcher.body import StreamedBody
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.dispatcher.shelf import Shelf
from mailproxy_server.mail.address import domain_of
from mailproxy_server.queue.contents import Content
from mailproxy_server.smtp.body import BodyLost

LARGE_OCTETS = 256 * 1024
"""Above this a message is composed in a thread, so that the loop goes on meanwhile."""


@dataclass(frozen=True, slots=True)
class Made:
    """A message ready for the relay; `eight_bit` and `utf8_headers` as `Composed` has them."""

    body: bytes | StreamedBody
    eight_bit: bool
    utf8_headers: bool


async def make(content: Content, route: Route, shelf: Shelf) -> Made | None:
    """Make a message; None when one of its files is not whole any more, which is then noted."""
    if not content.blobs:
        composed = await _beside_the_loop(content, route)
        return Made(composed.octets, composed.eight_bit, composed.utf8_headers)
    tenant_id = route.account.tenant_id
    files = await shelf.refs(tenant_id, content.blobs)
    if isinstance(files, bytes):
        await shelf.lost(tenant_id, content, files)
        return None
    composed, keys = _composed(content, route, files)
    body = StreamedBody(tenant_id, composed.segments, shelf)
    if keys:
        try:
            segments = await _signed_in_pieces(body, composed.segments, keys, content, route)
        except BodyLost:
            await shelf.lost(tenant_id, content, body.lost or b"")
            return None
        body = StreamedBody(tenant_id, segments, shelf)
    return Made(body, composed.eight_bit, composed.utf8_headers)


async def _beside_the_loop(content: Content, route: Route) -> Composed:
    if content.octets > LARGE_OCTETS:
        return await asyncio.to_thread(_whole, content, route)
    return _whole(content, route)


def _whole(content: Content, route: Route) -> Composed:
    """Compose and sign a message that is all here."""
    composed, keys = _composed(content, route, ())
    if not keys:
        return composed
    head, body = _parted(composed.octets)
    digest = BodyHash()
    digest.feed(body)
    signed = _signatures(head, digest, keys, content, route) + composed.octets
    return Composed((signed,), composed.eight_bit, composed.utf8_headers)


def _composed(
    content: Content, route: Route, files: Sequence[FileRef]
) -> tuple[Composed, list[Signature]]:
    """Compose a message, and give the keys that speak for its sender."""
    assert content.content is not None, "who sends has loaded the content"
    email = restore(content.content)
    composed = compose(email, message_id=str(content.message_id), date=content.since, files=files)
    if not route.signatures:
        return composed, []
    domain = _sender_domain(email)
    return composed, [one for one in route.signatures if one.speaks_for(domain)]


async def _signed_in_pieces(
    body: StreamedBody,
    segments: Sequence[Segment],
    keys: Sequence[Signature],
    content: Content,
    route: Route,
) -> list[Segment]:
    """Sign a message whose files are read once more for it."""
    digest, first = BodyHash(), segments[0]
    assert isinstance(first, bytes), "a message begins with its header"
    head, _ = _parted(first)
    skipped = len(head) + 2
    async for block in body.blocks():
        digest.feed(block[skipped:] if skipped else block)
        skipped = 0
    return [_signatures(head, digest, keys, content, route) + first, *segments[1:]]


def _signatures(
    head: bytes, digest: BodyHash, keys: Sequence[Signature], content: Content, route: Route
) -> bytes:
    return signatures(
        head,
        digest.digest(),
        keys,
        unsigned=route.account.dkim_unsigned_headers,
        instant=int(content.accepted_at.timestamp()),
    )


def _parted(octets: bytes) -> tuple[bytes, bytes]:
    """Give the header block with its last line end, and the body."""
    head, _, body = octets.partition(b"\r\n\r\n")
    return head + b"\r\n", body


def _sender_domain(email: message_pb2.Email) -> str:
    """Give the domain of From; "" of a raw message that does not name exactly one."""
    if email.WhichOneof("content") == "raw_mime":
        sender = raw.sender(email.raw_mime)
        return domain_of(sender) if sender else ""
    return domain_of(email.composed.from_address.address)
