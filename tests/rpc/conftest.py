"""Fixtures of the tests that call a front over a socket."""

from collections.abc import AsyncIterator

import pytest

from tests.support.postgres import Cluster
from tests.support.served import Front, front_on
from tests.support.shops_database import Shop, database_of_a_shop


@pytest.fixture
async def front(database_url: str) -> AsyncIterator[Front]:
    """A front on a fresh database, each of its two tenants with the account `demo`."""
    async with front_on(database_url) as one:
        await one.first.make_account()
        await one.other.make_account()
        yield one


@pytest.fixture
async def shop(postgres: Cluster) -> AsyncIterator[Shop]:
    """An application's own database with an outbox."""
    async with database_of_a_shop(postgres) as one:
        yield one
