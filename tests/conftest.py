"""Fixtures of all tests: one PostgreSQL a session, a fresh migrated database a test."""

from collections.abc import Iterator

import pytest

from tests.support.debian import pytest_runtest_setup as pytest_runtest_setup
from tests.support.postgres import Cluster, running_cluster


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
