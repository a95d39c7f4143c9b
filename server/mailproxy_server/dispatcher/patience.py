"""Asking a database that may be away: again and again, until it has answered."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed

T = TypeVar("T")


async def patiently(pool: Pool, ask: Callable[[Connection], Awaitable[T]]) -> T:
    """Ask, and again for as long as the database is away; `ask` must bear being repeated."""
    while True:
        try:
            async with borrowed(pool) as link:
                return await ask(link)
        except Unavailable as error:
            await asyncio.sleep(error.retry_after)
