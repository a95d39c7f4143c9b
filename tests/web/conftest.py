"""A front that serves its HTTP port, on a fresh database."""

from collections.abc import AsyncIterator

import pytest

from tests.support.watched import Watched, watched_on


@pytest.fixture
async def watched(database_url: str) -> AsyncIterator[Watched]:
    async with watched_on(database_url) as one:
        await one.front.first.make_account()
        yield one
