"""Fixtures of the queue's tests."""

from collections.abc import AsyncIterator

import pytest

from tests.support import outbox_desk, queue


@pytest.fixture
async def mail_queue(database_url: str) -> AsyncIterator[queue.Queue]:
    """A fresh queue of one tenant."""
    async with queue.opened(database_url) as one:
        yield one


@pytest.fixture
async def desk(mail_queue: queue.Queue) -> AsyncIterator[outbox_desk.Desk]:
    """Its outbox."""
    async with outbox_desk.opened(mail_queue) as one:
        yield one
