"""Attachments by URL: GET, as anybody would."""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager

from mailproxy.v1 import message_pb2

from mailproxy_server.content.sources.asking import Asker, Question
from mailproxy_server.content.vetting import vet_url


class HttpUrl:
    """The source `http_url`."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def origin(self, file: message_pb2.Attachment) -> str:
        """Give scheme, host and port."""
        return vet_url(file.http_url).origin

    def open(
        self, file: message_pb2.Attachment
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Get it."""
        return self._asker.ask(Question(file.http_url))
