"""Waiting for a condition with a deadline, for tests on a loop."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def eventually(condition: Callable[[], T], what: str, *, seconds: float = 60) -> T:
    """Give the first true value of `condition`; fails, naming `what`, past the deadline."""
    try:
        async with asyncio.timeout(seconds):
            while not (value := condition()):
                await asyncio.sleep(0.01)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s: {what}") from None
    return value
