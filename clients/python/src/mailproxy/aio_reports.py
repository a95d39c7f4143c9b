"""A stream of reports of the asyncio client, which goes on after every break.

Thin: `resume` decides where and whether it goes on; this reads and waits.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from typing import Any, Self, TypeAlias

import grpc

from mailproxy.aio_connection import AioConnection, Stubs
from mailproxy.errors import closed, from_call
from mailproxy.resume import Breaks, Position, RequestT, ResponseT
from mailproxy.v1.delivery_pb2 import DeliveryReport

Stream: TypeAlias = "Callable[[Stubs], grpc.aio.UnaryStreamMultiCallable[RequestT, ResponseT]]"
"""Picks a streaming method."""


class AsyncReports:
    """An asynchronous iterator of reports; close it, or use it in `async with`."""

    def __init__(
        self,
        connection: AioConnection,
        method: "Stream[RequestT, ResponseT]",
        position: Position[RequestT, ResponseT],
        timeout: float | None,
    ) -> None:
        self._position: Position[Any, Any] = position
        self._reports = _read(connection, method, position, timeout)

    @property
    def cursor(self) -> str:
        """Start another stream with it to go on after the report that was handed out last;
        "" before the first response.
        """
        return self._position.cursor

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> DeliveryReport:
        return await anext(self._reports)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End the stream."""
        await self._reports.aclose()


async def _read(
    connection: AioConnection,
    method: "Stream[RequestT, ResponseT]",
    position: Position[RequestT, ResponseT],
    timeout: float | None,
) -> AsyncGenerator[DeliveryReport, None]:
    clock = asyncio.get_running_loop().time
    opened = clock()
    breaks = Breaks(connection.timeout if connection.retry else 0.0)
    while True:
        left = None if timeout is None else timeout - (clock() - opened)
        error = None
        call = method(connection.stubs())(
            position.next_request(), timeout=left, metadata=connection.metadata
        )
        try:
            async for response in call:
                breaks.progress()
                for report in position.fresh(response):
                    position.handed_out(report)
                    yield report
                position.passed(response)
                if position.finished:
                    return
            if position.ends_with_ok:
                return
        except grpc.aio.AioRpcError as failure:
            error = from_call(failure)
        except asyncio.CancelledError:
            if connection.closed:
                raise closed() from None
            raise
        finally:
            call.cancel()
        pause = breaks.pause(error, elapsed=clock() - opened, jitter=random.random())  # noqa: S311
        if pause is None and error is not None:
            raise error
        await asyncio.sleep(pause or 0.0)
