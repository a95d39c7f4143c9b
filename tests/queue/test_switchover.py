"""Sessions find the host that takes writes just now, and leave one that does not."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.queue.hot import Pool, connection, open_pool
from mailproxy_server.queue.sessions import Sessions

from tests.support.between import between
from tests.support.postgres import open_folder
from tests.support.postgres_pair import postgres_pair

SIZE = 4


async def written(pool: Pool) -> bool:
    try:
        async with connection(pool) as link:
            await link.execute("INSERT INTO public.written SELECT pg_backend_pid()")
    except Unavailable:
        return False
    return True


async def all_written(pool: Pool) -> list[bool]:
    """Write on all connections of the pool at once."""
    return await asyncio.gather(*(written(pool) for _ in range(SIZE)))


@pytest.mark.needs_debian("postgresql-15")
@pytest.mark.parametrize("replaces", [True, False], ids=["", "control"])
async def test_the_first_refusal_of_a_primary_that_was_demoted_replaces_the_whole_pool(
    replaces: bool,
) -> None:
    """The control replaces nothing: it stays on the old one for ever."""
    with open_folder() as folder:
        async with postgres_pair(folder) as pair:
            url = await pair.make_database("mail")
            table = "CREATE TABLE public.written (pid int)"
            await pair.primary.fetchval(table, database="mail")
            await pair.caught_up()
            pool = await open_pool(Sessions(url), size=SIZE, statement_timeout=5)
            if not replaces:
                pool._replaced = float("inf")
            assert all(await all_written(pool))
            old = pair.primary
            await pair.promote()
            await old.set("default_transaction_read_only", "on")
            assert not await written(pool), "the first one meets the old primary"
            assert all(await all_written(pool)) is replaces
            if not replaces:
                assert not any(await all_written(pool))
            await pool.close()


class Forgetful(dict[Any, float]):
    """Remembers no failure."""

    def __setitem__(self, key: Any, value: float) -> None:
        """Forget it."""


@contextmanager
def closing(pool: Pool) -> Iterator[Pool]:
    try:
        yield pool
    finally:
        pool.terminate()


@pytest.mark.parametrize("remembers", [True, False], ids=["", "control"])
async def test_a_host_that_swallows_all_is_left_for_the_next_one(
    database_url: str, remembers: bool
) -> None:
    """A session may be waited for no longer than one host is: the control begins with the same host
    again and again, and never comes to the other one."""
    async with between(database_url) as first, between(database_url) as second:
        hosts = ",".join(urlsplit(each.url).netloc.partition("@")[2] for each in (first, second))
        url = f"postgresql://mailproxy@{hosts}{urlsplit(first.url).path}?sslmode=disable"
        sessions = Sessions(url)
        if not remembers:
            sessions._failed = Forgetful()
        pool = await open_pool(sessions, size=SIZE, statement_timeout=1)
        with closing(pool):
            async with connection(pool) as link:
                await link.execute("CREATE TABLE public.written (pid int)")
            first.freeze()
            assert not await written(pool), "the answer does not come"
            tries = [await written(pool) for _ in range(2)]
            assert tries == ([False, True] if remembers else [False, False])
