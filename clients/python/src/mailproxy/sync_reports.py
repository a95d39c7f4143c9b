"""A stream of reports of the threaded client, which goes on after every break.

Thin: `resume` decides where and whether it goes on; this reads and waits.
"""

import random
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, Self, TypeAlias

import grpc

from mailproxy.errors import closed, from_call
from mailproxy.resume import Breaks, Position, RequestT, ResponseT
from mailproxy.sync_connection import Stubs, SyncConnection
from mailproxy.v1.delivery_pb2 import DeliveryReport

Stream: TypeAlias = "Callable[[Stubs], grpc.UnaryStreamMultiCallable[RequestT, ResponseT]]"
"""Picks a streaming method."""


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
        self._ending = _Ending()
        self._reports = _read(connection, method, position, timeout, self._ending)

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
        self._ending.end()


class _Ending:
    """Whether the caller has closed the stream, and the call to cancel then."""

    def __init__(self) -> None:
        self._ended = threading.Event()
        self._call: grpc.Call | None = None

    def __bool__(self) -> bool:
        return self._ended.is_set()

    def begin(self, call: grpc.Call) -> None:
        """Note the call that is under way."""
        self._call = call
        if self:
            call.cancel()

    def end(self) -> None:
        self._ended.set()
        if self._call is not None:
            self._call.cancel()

    def sleep(self, seconds: float) -> None:
        self._ended.wait(seconds)


def _read(
    connection: SyncConnection,
    method: "Stream[RequestT, ResponseT]",
    position: Position[RequestT, ResponseT],
    timeout: float | None,
    ending: _Ending,
) -> Generator[DeliveryReport, None, None]:
    opened = time.monotonic()
    breaks = Breaks(connection.timeout if connection.retry else 0.0)
    while not ending:
        left = None if timeout is None else timeout - (time.monotonic() - opened)
        error = None
        call = method(connection.stubs())(
            position.next_request(), timeout=left, metadata=connection.metadata
        )
        ending.begin(call)
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
        finally:
            call.cancel()
        if ending:
            return
        elapsed = time.monotonic() - opened
        pause = breaks.pause(error, elapsed=elapsed, jitter=random.random())  # noqa: S311
        if pause is None and error is not None:
            raise error
        ending.sleep(pause or 0.0)
