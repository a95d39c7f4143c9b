"""How `MailProxyClient` uploads files. Twin: `aio_uploads`."""

from os import PathLike
from typing import Any

from mailproxy.attachment import Attachment, Upload, attachment
from mailproxy.message import Message
from mailproxy.sync_connection import Stubs, SyncConnection
from mailproxy.v1 import message_pb2


class Uploads:
    """This part of the client."""

    _connection: SyncConnection
    _upload_above: int | None

    def upload(
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
        response: message_pb2.UploadAttachmentResponse = self._connection.call(
            _streaming, upload, seconds
        )
        return response

    def _with_uploads(self, message: Message) -> Message:
        """Give a message whose large files are on the server."""
        files = [attachment(each) for each in message.get("attachments") or ()]
        above = self._upload_above
        for number, file in enumerate(files):
            if above is not None and file.octets > above:
                files[number] = file.uploaded(self.upload(file).blob)
        return {**message, "attachments": files} if files else message


def _streaming(stubs: Stubs) -> Any:
    """Give the streaming call in the form of a unary one, which is repeated from its beginning."""
    return _Streaming(stubs)


class _Streaming:
    def __init__(self, stubs: Stubs) -> None:
        self._stubs = stubs

    def future(self, upload: Upload, **terms: Any) -> Any:
        return self._stubs.messages.UploadAttachment.future(upload.parts(), **terms)
