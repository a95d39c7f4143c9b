"""How many bytes of requests this process holds at once: room is taken before they are read."""

import asyncio
from collections.abc import Hashable
from types import TracebackType

from mailproxy_server.mail.errors import Unavailable

PATIENCE = 5.0
"""Seconds that a call waits for room; then it is asked to come again."""

RETRY_AFTER = 0.5
"""Seconds after which it may."""

_LOOKS = 20
"""Looks at who waits, in the time that one may wait."""

MOST_WAITING = 1000
"""Calls that may wait for room, shared by their callers. The transport reads ahead of each."""


class Budget:
    """A bound on the bytes of requests in flight; `used` of `limit` are taken.

    Who finds no room waits. Callers (tenants) take turns, so that one with many calls does not
    hold up another with one; a caller's own calls come in their order.
    """

    __slots__ = ("_look", "_queues", "limit", "patience", "used")

    def __init__(self, limit: int, patience: float = PATIENCE):
        self.limit = limit
        self.used = 0
        self.patience = patience
        self._look: asyncio.TimerHandle | None = None
        self._queues: dict[Hashable, dict[_Waiter, None]] = {}

    async def hold(self, caller: Hashable, size: int) -> "Held":
        """Give a context that holds `size` bytes, once there is room for them.

        Alone a request always fits, or one larger than the budget could never pass. Raises
        `Unavailable` when no room came in time.
        """
        if not self._queues and self._fits(size):
            return Held(self, size)
        queue = self._queues.setdefault(caller, {})
        if len(queue) * len(self._queues) >= MOST_WAITING:
            raise self._full()
        loop = asyncio.get_running_loop()
        waiter = _Waiter(size, loop)
        queue[waiter] = None
        if self._look is None:
            self._look = loop.call_later(self.patience / _LOOKS, self._look_at_all)
        try:
            return await waiter.granted
        except asyncio.CancelledError:
            if waiter.granted.cancelled():
                self._drop(caller, waiter)
                self._grant()  # it may have been the one for whom all others waited
            elif waiter.granted.exception() is None:  # granted in the same moment
                waiter.granted.result().release()
            raise

    @property
    def crowded(self) -> bool:
        """Whether calls wait for room."""
        return bool(self._queues)

    def give_back(self, size: int) -> None:
        """Return `size` bytes, which lets in who waited for them."""
        self.used -= size
        if self._queues:
            self._grant()

    def _fits(self, size: int) -> bool:
        return not self.used or self.used + size <= self.limit

    def _grant(self) -> None:
        """Let in who waits, one of each caller in turn, until the next one does not fit."""
        while self._queues:
            caller, queue = next(iter(self._queues.items()))
            waiter = next(iter(queue))
            gone = waiter.granted.cancelled()  # and its task has not run since
            if not gone and not self._fits(waiter.size):
                return
            del queue[waiter], self._queues[caller]
            if queue:
                self._queues[caller] = queue  # the last in turn now
            if not gone:
                waiter.granted.set_result(Held(self, waiter.size))

    def _drop(self, caller: Hashable, waiter: "_Waiter") -> None:
        """Take out one that waits no more."""
        queue = self._queues.get(caller, {})
        queue.pop(waiter, None)
        if not queue:
            self._queues.pop(caller, None)

    def _look_at_all(self) -> None:
        """Send away who has waited for too long. One timer for all costs those least that wait
        for a moment only, which many do when many are small."""
        self._look = None
        loop = asyncio.get_running_loop()
        late = loop.time() - self.patience
        for caller, queue in list(self._queues.items()):
            for waiter in [waiter for waiter in queue if waiter.since <= late]:
                self._drop(caller, waiter)
                if not waiter.granted.done():
                    waiter.granted.set_exception(self._full())
        self._grant()
        if self._queues:
            self._look = loop.call_later(self.patience / _LOOKS, self._look_at_all)

    def _full(self) -> Unavailable:
        return Unavailable(
            "INFLIGHT_BYTES",
            f"requests of {self.used} bytes are in work, of {self.limit} allowed; "
            "send again in a moment",
            retry_after=RETRY_AFTER,
        )


class _Waiter:
    """A call that waits for room."""

    __slots__ = ("granted", "since", "size")

    def __init__(self, size: int, loop: asyncio.AbstractEventLoop):
        self.size = size
        self.since = loop.time()
        self.granted: asyncio.Future[Held] = loop.create_future()


class Held:
    """Bytes of one request, taken from its making on, returned when the context ends."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: Budget, size: int):
        budget.used += size
        self._budget = budget
        self._size = size

    def shrink(self, size: int) -> None:
        """Keep `size` bytes of them, and return the rest."""
        surplus = self._size - size
        if surplus > 0:
            self._size = size
            self._budget.give_back(surplus)

    def release(self) -> None:
        """Return what is left of them."""
        self.shrink(0)

    def __enter__(self) -> "Held":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.shrink(0)
