"""Reads the bodies of requests: no more at once than fit, and none for longer than is allowed.

grpc reads the body of a method that is bound as unary before the handler runs, whoever sends it.
So every method is bound as one that takes a stream, which is the same on the wire, and its one
request is read here, after its caller is known and room has been found for the largest that it
may be. How large it is nobody knows before it is here whole; until then the core alone holds it.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any

import grpc.aio

from mailproxy_server.mail.errors import CallerError, MailProxyError, Unavailable
from mailproxy_server.rpc.budget import RETRY_AFTER, Budget, Held

Context = grpc.aio.ServicerContext[Any, Any]
End = Callable[[Context, MailProxyError], Awaitable[Any]]
"""Ends a call with the status of an error."""

LOOK_SECONDS = 0.5
"""Between looks at what is being read."""

_SLOW_LOOKS = 2
"""Looks after which a body counts as slow."""


class Bodies:
    """Reads requests of at most `largest` bytes, which must come within `seconds`.

    While others wait for room, slow bodies may fill half of it: a caller on a slow line, or one
    that sends no body at all, does not stop the small requests of the rest. `end` ends a call.
    """

    def __init__(self, budget: Budget, largest: int, seconds: float, end: End):
        self.budget = budget
        self._largest = largest
        self._seconds = seconds
        self._looks = max(1, round(seconds / LOOK_SECONDS))
        self.most_slow = max(1, budget.limit // largest // 2)
        self._end = end
        self._reading: dict[_Reading, None] = {}
        self._look: asyncio.TimerHandle | None = None
        self._ending: set[asyncio.Task[None]] = set()

    async def room(self, caller: Hashable) -> Held:
        """Give room for one body, once there is some; raises `Unavailable`."""
        return await self.budget.hold(caller, self._largest)

    async def read(self, context: Context, caller: Hashable, held: Held) -> bytes | None:
        """Give the next request of a call, None at the end of the stream.

        `held` is its room, which is cut to its size. Raises grpc's AbortError when the call was
        ended because the request did not come in time.
        """
        reading = _Reading(context, caller)
        self._reading[reading] = None
        if self._look is None:
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(LOOK_SECONDS, self._look_at_all)
        try:
            raw = await context.read()
        finally:
            del self._reading[reading]
        if reading.ending is not None:  # and the request came in the same moment
            await reading.ending
            await context.read()  # raises that the call was ended
        if raw is grpc.aio.EOF:
            held.release()
            return None
        held.shrink(len(raw))
        octets: bytes = raw
        return octets

    def _look_at_all(self) -> None:
        """End what has been read for too long.

        Its age is counted in looks and not by the clock: if this process was stopped or too busy
        to look, that is not the callers' fault.
        """
        self._look = None
        slow = []
        for reading in self._reading:
            reading.looks += 1
            if reading.ending is not None:
                continue
            if reading.looks > self._looks:
                self._end_one(reading, _late(self._seconds))
            elif reading.looks > _SLOW_LOOKS:
                slow.append(reading)
        if self.budget.crowded:
            for number in surplus([reading.caller for reading in slow], self.most_slow):
                self._end_one(slow[number], _too_slow())
        if self._reading:
            loop = asyncio.get_running_loop()
            self._look = loop.call_later(LOOK_SECONDS, self._look_at_all)

    def _end_one(self, reading: "_Reading", error: MailProxyError) -> None:
        """End the call, by which its reading ends.

        Not by cancelling it: of a cancelled reading, grpc would never free what has come.
        """

        async def end() -> None:
            with contextlib.suppress(grpc.aio.BaseError):
                await self._end(reading.context, error)

        reading.ending = asyncio.create_task(end(), name="ending of a slow call")
        self._ending.add(reading.ending)
        reading.ending.add_done_callback(self._ending.discard)


class _Reading:
    """A body that is being read, and how often it was looked at."""

    __slots__ = ("caller", "context", "ending", "looks")

    def __init__(self, context: Context, caller: Hashable):
        self.context = context
        self.caller = caller
        self.looks = 0
        self.ending: asyncio.Task[None] | None = None


def surplus(callers: Sequence[Hashable], most: int) -> list[int]:
    """Choose which of these readings, the oldest first, to end so that `most` are left.

    Those who have the most of them lose the youngest.
    """
    counts = Counter(callers)
    chosen: list[int] = []
    left = dict(enumerate(callers))
    while len(left) > most:
        greatest = max(counts.values())
        number = max(n for n, caller in left.items() if counts[caller] == greatest)
        counts[left.pop(number)] -= 1
        chosen.append(number)
    return chosen


def missing() -> CallerError:
    """Give the error of a call that ended without a request."""
    return CallerError(
        "REQUEST_MALFORMED", "the call has no request: this method takes exactly one"
    )


def _late(seconds: float) -> CallerError:
    return CallerError(
        "DEADLINE", f"the request had not come after {seconds:g} s (MAILPROXY_BODY_SECONDS)"
    )


def _too_slow() -> Unavailable:
    return Unavailable(
        "INFLIGHT_BYTES",
        "the request comes slowly, and others wait for its place; send again in a moment",
        retry_after=RETRY_AFTER,
    )
