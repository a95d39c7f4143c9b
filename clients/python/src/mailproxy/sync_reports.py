"""A stream of reports of the threaded client, which goes on after every break.

Thin: `resume` decides where and whether it goes on; this reads and waits.
"""

import random
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, Self, TypeAlias, TypeVar

import grpc

from mailproxy.errors import closed, from_call
from mailproxy.forking import Survivor, calls, survive_forks
from mailproxy.resume import Breaks, Position, RequestT, ResponseT
from mailproxy.sync_connection import Stubs, SyncConnection
from mailproxy.v1.delivery_pb2 import DeliveryReport

Stream: TypeAlias = "Callable[[Stubs], grpc.UnaryStreamMultiCallable[RequestT, ResponseT]]"
"""Picks a streaming method."""


CallT = TypeVar("CallT", bound=grpc.Call)


class Reports:
    """An iterator of reports; close it, also from another thread, or use it in `with`."""

    def __init__(
        self,
        connection: SyncConnection,
        method: "Stream[RequestT, ResponseT]",
        position: Position[RequestT, ResponseT],
        timeout: float | None,
    ) -> None:
        self._position: Position[Any, Any] = position
        self._reading = _Reading()
        self._reports = _read(connection, method, position, timeout, self._reading)

    @property
    def cursor(self) -> str:
        """Start another stream with it to go on after the report that was handed out last;
        "" before the first response.
        """
        return self._position.cursor

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> DeliveryReport:
        return next(self._reports)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the stream; a thread that waits for its next report gets none."""
        self._reading.close()


class _Reading(Survivor):
    """The call that is under way, and who has ended it."""

    def __init__(self) -> None:
        self.interrupted = False
        self._closed = threading.Event()
        self._call: grpc.Call | None = None
        survive_forks(self)

    def is_closed(self) -> bool:
        """Whether the caller wants no more."""
        return self._closed.is_set()

    def begin(self, opening: Callable[[], CallT]) -> CallT:
        """Open the stream as a call that is under way."""
        calls.begin()
        try:
            call = opening()
        except BaseException:
            calls.end()
            raise
        if not call.add_callback(calls.end):
            calls.end()
        self.interrupted, self._call = False, call
        if self.is_closed():
            call.cancel()
        return call

    def interrupt(self) -> None:
        self.interrupted = True
        if self._call is not None:
            self._call.cancel()

    def close(self) -> None:
        self._closed.set()
        if self._call is not None:
            self._call.cancel()

    def sleep(self, seconds: float) -> None:
        self._closed.wait(seconds)


def _open(
    connection: SyncConnection,
    method: "Stream[RequestT, ResponseT]",
    position: Position[RequestT, ResponseT],
    left: float | None,
) -> "grpc._CallIterator[ResponseT]":
    request, metadata = position.next_request(), connection.metadata
    return method(connection.stubs())(request, timeout=left, metadata=metadata)


def _read(
    connection: SyncConnection,
    method: "Stream[RequestT, ResponseT]",
    position: Position[RequestT, ResponseT],
    timeout: float | None,
    reading: _Reading,
) -> Generator[DeliveryReport, None, None]:
    opened = time.monotonic()
    breaks = Breaks(connection.timeout if connection.retry else 0.0)
    while not reading.is_closed():
        left = None if timeout is None else timeout - (time.monotonic() - opened)
        error = None
        call = reading.begin(partial(_open, connection, method, position, left))
        try:
            for response in call:
                breaks.progress()
                for report in position.fresh(response):
                    position.handed_out(report)
                    yield report
                position.passed(response)
                if position.finished:
                    return
            if position.ends_with_ok:
                return
        except grpc.RpcError as failure:
            error = closed() if connection.closed else from_call(failure)
            error = None if reading.interrupted else error
        finally:
            call.cancel()
        if reading.is_closed():
            return
        elapsed = time.monotonic() - opened
        pause = breaks.pause(error, elapsed=elapsed, jitter=random.random())  # noqa: S311
        if pause is None and error is not None:
            raise error
        reading.sleep(pause or 0.0)
