"""The streams that are open: how many of each service, and how a drain ends them.

A stream is ended by cancelling its task, so that a generator waiting for news ends at once
and is closed like one whose client went away; only the answer differs.
"""

import asyncio
from types import TracebackType

from mailproxy_server.mail.errors import Unavailable

DRAIN_RETRY_AFTER = 1.0
"""Seconds after which a caller that a drain turned away may come again."""


def draining() -> Unavailable:
    """Give the error of a server that is stopping."""
    return Unavailable(
        "DRAINING", "this server is stopping; another replica will answer", DRAIN_RETRY_AFTER
    )


class Streams:
    """The open streams of one service, at most `limit` of them."""

    def __init__(self, limit: int):
        self.limit = limit
        self.draining = False
        self._open: set[OpenStream] = set()

    def __len__(self) -> int:
        return len(self._open)

    def open(self) -> "OpenStream":
        """Count the running task as a stream until the context that is returned ends.

        Raises `Unavailable` when the server drains, or when too many are open.
        """
        if self.draining:
            raise draining()
        if len(self._open) >= self.limit:
            raise Unavailable(
                "TOO_MANY_STREAMS",
                f"{self.limit} streams of this service are open on this server, its limit; "
                "close some, or add a replica",
                retry_after=5.0,
                metadata={"limit": str(self.limit)},
            )
        return OpenStream(self._open)

    def drain(self) -> None:
        """End every stream with `draining()` and let no new one in."""
        self.draining = True
        for stream in list(self._open):
            stream.end()


class OpenStream:
    """One open stream: a context around its whole life.

    When a drain has ended it, the cancellation leaves the context as `draining()`.
    """

    __slots__ = ("_ended", "_open", "_task")

    def __init__(self, open_streams: set["OpenStream"]):
        task = asyncio.current_task()
        assert task is not None, "a stream runs in a task"
        self._task = task
        self._open = open_streams
        self._ended = False

    def __enter__(self) -> "OpenStream":
        self._open.add(self)
        return self

    def end(self) -> None:
        """Cancel the stream's task on behalf of a drain."""
        self._ended = True
        self._task.cancel()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.discard(self)
        if self._ended and isinstance(error, asyncio.CancelledError):
            self._task.uncancel()
            raise draining() from None
