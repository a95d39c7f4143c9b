"""Fixtures of all tests: one PostgreSQL a session, a fresh migrated database a test."""

import os
from collections.abc import Iterator

import pytest

from tests.support.debian import pytest_runtest_setup as pytest_runtest_setup
from tests.support.postgres import Cluster, running_cluster
from tests.support.signals import heard_by_children


@pytest.hookimpl(trylast=True)  # when those that `make test` leaves out are gone
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Have the slowest tests, which say so by their timeout, begin first, shared among the workers:
    each worker is given one part of the list to begin with."""
    usual = float(config.getini("timeout"))

    def is_slow(item: pytest.Item) -> bool:
        own = item.get_closest_marker("timeout")
        return own is not None and own.args[0] > usual

    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    slow = [item for item in items if is_slow(item)]
    rest = [item for item in items if not is_slow(item)]
    size = -(-len(rest) // workers)
    items[:] = [
        item
        for worker in range(workers)
        for item in (*slow[worker::workers], *rest[worker * size : (worker + 1) * size])
    ]


@pytest.fixture(scope="session", autouse=True)
def _signals() -> Iterator[None]:
    """What tests start hears their signals, whoever started them."""
    with heard_by_children():
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Cluster]:
    """The session's embedded PostgreSQL."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
def database_url(postgres: Cluster) -> Iterator[str]:
    """The URL of a fresh database with the newest schema."""
    url = postgres.make_database()
    yield url
    postgres.drop_database(url)
