"""A file that goes with a message, and what of it is uploaded before."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from mailproxy.fault import invalid
from mailproxy.v1 import message_pb2

UPLOAD_ABOVE = 2**20
"""Bytes above which a client uploads a file by itself, unless it was told another number."""
CHUNK = 2**16
"""Bytes of a chunk of an upload."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that goes with the message: its `content`, or else where the bytes are.

    `path` is a file on this machine, read when the message is submitted. The server gets the
    bytes of `url` (it must be public, unless the operator says otherwise), of `server_file` (below
    one of the server's roots), and from the account's `endpoint` of that name, which is asked
    with `parameters`; `blob` is what an upload gave. `sha256` or `md5` say which bytes are meant:
    what the server keeps already it does not get again.

    With `content_id` ("logo") and `inline` it is an image that the HTML shows by `cid:logo`.
    Without `media_type` the server guesses it from the name.
    """

    filename: str
    content: bytes | None = field(default=None, repr=False)
    media_type: str = ""
    content_id: str = ""
    inline: bool = False
    path: str | PathLike[str] | None = None
    url: str = ""
    server_file: str = ""
    endpoint: str = ""
    parameters: Mapping[str, Any] | None = None
    blob: str = ""
    sha256: str = ""
    md5: str = ""

    @classmethod
    def read(cls, path: str | PathLike[str]) -> "Attachment":
        """Read a file."""
        return cls(Path(path).name, Path(path).read_bytes())

    @property
    def octets(self) -> int:
        """Bytes of it that are here; 0 of one that the server gets."""
        if self.path is not None:
            return Path(self.path).stat().st_size
        return len(self.content or b"")

    def to_proto(self) -> message_pb2.Attachment:
        """Give it as the contract has it; reads the file that `path` names."""
        given: dict[str, Any] = {
            "content": self.content,
            "path": self.path,
            "http_url": self.url or None,
            "filesystem": self.server_file or None,
            "endpoint": self._call() if self.endpoint else None,
            "blob": self.blob or None,
        }
        source = {name: value for name, value in given.items() if value is not None}
        if len(source) > 1:
            names = "content, path, url, server_file, endpoint and blob"
            raise invalid("email.composed.attachments", f"{self.filename}: give one of {names}")
        if self.path is not None:
            source = {"content": Path(self.path).read_bytes()}
        return message_pb2.Attachment(
            filename=self.filename,
            media_type=self.media_type,
            content_id=self.content_id,
            inline=self.inline,
            sha256=self.sha256,
            md5=self.md5,
            **source,
        )

    def _call(self) -> message_pb2.EndpointCall:
        call = message_pb2.EndpointCall(name=self.endpoint)
        call.parameters.update(self.parameters or {})
        return call

    def uploaded(self, blob: str) -> "Attachment":
        """Give it as what the server keeps."""
        return replace(self, content=None, path=None, blob=blob)


AttachmentLike: TypeAlias = Attachment | str | PathLike[str]
"""An attachment, or the path of a file."""


def attachment(given: AttachmentLike) -> Attachment:
    """Give an attachment for a path."""
    return given if isinstance(given, Attachment) else Attachment(Path(given).name, path=given)


@dataclass(frozen=True, slots=True)
class Upload:
    """What is uploaded: bytes, or a file, which is read a chunk at a time."""

    source: bytes | Path

    @classmethod
    def of(cls, given: bytes | str | PathLike[str] | Attachment) -> "Upload":
        """Give the upload of bytes, of a file by its path, or of an attachment's bytes."""
        if isinstance(given, Attachment):
            given = given.content or b"" if given.path is None else given.path
        return cls(given if isinstance(given, bytes) else Path(given))

    @property
    def octets(self) -> int:
        """Its bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @property
    def seconds(self) -> float:
        """How long it may take: a MiB in a second, and what any call may take besides."""
        return self.octets / 2**20

    def parts(self) -> Iterator[message_pb2.UploadAttachmentRequest]:
        """Give the requests of the call, from the first. The digest comes first, so that a file
        that the server keeps needs not be sent."""
        digest = hashlib.sha256()
        for chunk in self._chunks():
            digest.update(chunk)
        start = message_pb2.UploadStart(sha256=digest.hexdigest(), octets=self.octets)
        yield message_pb2.UploadAttachmentRequest(start=start)
        for chunk in self._chunks():
            yield message_pb2.UploadAttachmentRequest(chunk=chunk)

    def _chunks(self) -> Iterator[bytes]:
        if isinstance(self.source, bytes):
            for start in range(0, len(self.source), CHUNK):
                yield self.source[start : start + CHUNK]
            return
        with self.source.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk
