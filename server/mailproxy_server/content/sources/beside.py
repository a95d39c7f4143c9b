"""Work in threads on something that is closed at the end, and never under a thread.

Whoever waits for a thread may be cancelled, and the thread goes on: what was closed meanwhile it
would open anew (a spooled file on its way to the disk), or find to be another's by now (a
descriptor).
"""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class Beside:
    """Threads, one at a time, that work on what `close` closes."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close
        self._work: asyncio.Future[Any] | None = None

    async def run(self, work: Callable[..., T], *given: Any) -> T:
        """Do this in a thread."""
        loop = asyncio.get_running_loop()
        doing = self._work = loop.run_in_executor(None, partial(work, *given))
        return await asyncio.shield(doing)

    def close(self) -> None:
        """Close now, or as soon as the thread has ended whose waiter was cancelled."""
        if self._work is None or self._work.done():
            self._close()
        else:
            self._work.add_done_callback(self._ended)

    def _ended(self, work: "asyncio.Future[Any]") -> None:
        if not work.cancelled():
            work.exception()  # nobody waits for it any more
        self._close()
