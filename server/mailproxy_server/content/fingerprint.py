"""The fingerprint of an email: a digest for each field of the domain that was given.

Two submissions are the same when their fingerprints are equal. Defaults leave no trace, so a
field that is absent equals one that holds its default; serialized bytes are never digested.
Parts are joined by characters that the checks do not let pass inside them. Works on an
email that was admitted.
"""

from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from mailproxy.v1 import message_pb2

from mailproxy_server.content.parameters import as_json

VERSION: Final = b"1"
"""Raise it whenever the same email would give other digests."""
VERSION_KEY: Final = "fingerprint"
"""The entry that holds the version; it differs when the two cannot be compared."""

_SIZE = 12


def fingerprint(
    email: message_pb2.Email,
    normal: message_pb2.Email,
    recipients: Sequence[str],
    return_path: str | None,
    priority: int,
    rendered: message_pb2.TemplatedContent | None = None,
) -> dict[str, bytes]:
    """Give a digest for each field, by its path from the email.

    `normal` holds composed content with its addresses in normal form, bcc among them;
    `recipients` are what an envelope gave. `return_path` is None where it is From's;
    `priority` is never 0; `rendered` is the templated content that the composed one came of.
    """
    digests = {VERSION_KEY: VERSION, "priority": b"%d" % priority}
    if email.delivery_guarantee == message_pb2.DELIVERY_GUARANTEE_AT_MOST_ONCE:
        digests["delivery_guarantee"] = b"at most once"
    if email.account_id:
        digests["account_id"] = _digest(email.account_id)
    if return_path is not None:
        digests["envelope.return_path"] = _digest(return_path)
    if email.WhichOneof("content") == "raw_mime":
        digests["raw_mime"] = _digest(email.raw_mime)
        digests["envelope.recipients"] = _digest("\n".join(recipients))
    else:
        _add_composed(digests, normal.composed)
    if rendered is not None:
        for name in ("subject", "text_body", "html_body"):
            digests.pop(f"composed.{name}", None)  # what came of it may change with the template
        digests["templated.template_id"] = _digest(rendered.template_id)
        digests["templated.variables"] = _digest(as_json(rendered.variables))
    _add_times(digests, email)
    if email.labels:
        digests["labels"] = _digest(_pairs(email.labels))
    if email.metadata:
        digests["metadata"] = _digest(_pairs(email.metadata))
    return digests


def differing(a: Mapping[str, bytes], b: Mapping[str, bytes]) -> list[str]:
    """Give the paths of the fields in which two fingerprints differ, sorted; [] if in none."""
    if a.get(VERSION_KEY) != b.get(VERSION_KEY):
        return [VERSION_KEY]
    return sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))


def pack(digests: Mapping[str, bytes]) -> bytes:
    """Give a fingerprint as the bytes that are kept with a request_id."""
    return b"\n".join(
        [b"%b %b" % (key.encode(), value.hex().encode()) for key, value in digests.items()]
    )


def unpack(packed: bytes) -> dict[str, bytes]:
    """Give the fingerprint that `pack` packed."""
    pairs = (line.decode().split(" ") for line in packed.split(b"\n") if line)
    return {key: bytes.fromhex(value) for key, value in pairs}


def _add_composed(digests: dict[str, bytes], content: message_pb2.ComposedContent) -> None:
    digests["composed.from_address"] = _digest(_mailboxes([content.from_address]))
    for name, boxes in (
        ("composed.to", content.to),
        ("composed.cc", content.cc),
        ("composed.bcc", content.bcc),
        ("composed.reply_to", content.reply_to),
    ):
        if boxes:
            digests[name] = _digest(_mailboxes(boxes))
    if content.subject:
        digests["composed.subject"] = _digest(content.subject)
    if content.text_body:
        digests["composed.text_body"] = _digest(content.text_body)
    if content.html_body:
        digests["composed.html_body"] = _digest(content.html_body)
    if content.headers:
        lines = [f"{h.name}\n{h.value}" for h in content.headers]
        digests["composed.headers"] = _digest("\n".join(lines))
    if content.attachments:
        digests["composed.attachments"] = _digest(b"".join(map(_attachment, content.attachments)))


def _add_times(digests: dict[str, bytes], email: message_pb2.Email) -> None:
    if email.HasField("send_time"):
        digests["send_time"] = b"%d.%09d" % (email.send_time.seconds, email.send_time.nanos)
    expiration = email.WhichOneof("expiration")
    if expiration:
        value = email.expire_time if expiration == "expire_time" else email.ttl
        digests[expiration] = b"%d.%09d" % (value.seconds, value.nanos)


def _attachment(attachment: message_pb2.Attachment) -> bytes:
    """Digest it as it was admitted. One in the request leaves no trace of how it came; of others
    the source is what was submitted, whatever will be there."""
    said = (attachment.filename, attachment.media_type, attachment.content_id)
    own = _digest("\n".join((*said, str(attachment.inline))))
    source = attachment.WhichOneof("source")
    if source == "content":
        return own + _digest(attachment.content)
    if source == "endpoint":
        call = attachment.endpoint
        named = f"{call.name}\n{as_json(call.parameters).decode()}"
    else:
        named = getattr(attachment, source) if source else ""
    return own + _digest("\n".join((str(source), named, attachment.sha256, attachment.md5)))


def _mailboxes(boxes: Iterable[message_pb2.Mailbox]) -> str:
    return "\n".join([f"{box.address}\n{box.display_name}" for box in boxes])


def _pairs(entries: Mapping[str, str]) -> str:
    return "\0".join([f"{key}\0{entries[key]}" for key in sorted(entries)])


def _digest(value: str | bytes) -> bytes:
    octets = value.encode() if isinstance(value, str) else value
    return blake2b(octets, digest_size=_SIZE).digest()
