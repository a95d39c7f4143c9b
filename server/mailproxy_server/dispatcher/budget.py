"""A budget of octets in memory, handed out in the order of asking."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Budget:
    """At most `octets` are held at once; one asker larger than that waits to hold all of it."""

    def __init__(self, octets: int) -> None:
        self._whole = octets
        self._free = octets
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, octets: int) -> AsyncIterator[None]:
        """Hold `octets` for the length of the block; wait until they are free."""
        wanted = min(octets, self._whole)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((wanted, turn))
        self._serve()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._free += wanted
            else:
                turn.cancel()
            self._serve()

    def _serve(self) -> None:
        while self._queue:
            wanted, turn = self._queue[0]
            if not turn.cancelled():
                if wanted > self._free:
                    return
                self._free -= wanted
                turn.set_result(None)
            self._queue.popleft()
