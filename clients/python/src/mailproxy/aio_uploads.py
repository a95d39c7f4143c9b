"""How `AsyncMailProxyClient` uploads files. Twin: `sync_uploads`."""

import asyncio
from collections.abc import AsyncIterator
from os import PathLike
from typing import Any

from mailproxy.aio_connection import AioConnection, Stubs
from mailproxy.attachment import Attachment, Upload, attachment
from mailproxy.message import Message
from mailproxy.v1 import message_pb2


class AsyncUploads:
    """This part of the client."""

    _connection: AioConnection
    _upload_above: int | None

    async def upload(
        self,
        file: bytes | str | PathLike[str] | Attachment,
        *,
        timeout: float | None = None,
    ) -> message_pb2.UploadAttachmentResponse:
        """Upload bytes, or a file by its path, once; its `blob` goes with any number of messages.

        Without `timeout` it may take a second for each MiB beside the client's own.
        """
        upload = Upload.of(file)
        seconds = self._connection.timeout + upload.seconds if timeout is None else timeout
        response: message_pb2.UploadAttachmentResponse = await self._connection.call(
            _streaming, upload, seconds
        )
        return response

    async def _with_uploads(self, message: Message) -> Message:
        """Give a message whose large files are on the server."""
        files = [attachment(each) for each in message.get("attachments") or ()]
        above = self._upload_above
        for number, file in enumerate(files):
            if above is not None and file.octets > above:
                files[number] = file.uploaded((await self.upload(file)).blob)
        return {**message, "attachments": files} if files else message


def _streaming(stubs: Stubs) -> Any:
    """Give the streaming call in the form of a unary one, which is repeated from its beginning."""
    return lambda upload, **terms: stubs.messages.UploadAttachment(_parts(upload), **terms)


async def _parts(upload: Upload) -> AsyncIterator[message_pb2.UploadAttachmentRequest]:
    """Give the requests; files are read beside the loop."""
    parts = upload.parts()
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        yield part
