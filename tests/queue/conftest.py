"""Fixtures of the queue's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.support import queue


@pytest.fixture
async def mail_queue(database_url: str) -> AsyncIterator[queue.Queue]:
    """A fresh queue of one tenant."""
    async with queue.opened(database_url) as one:
        yield one
