"""Ten failovers and switchovers of the database under load: the server goes on by itself."""

import asyncio

import pytest

from tests.support.mailing import mailing
from tests.support.postgres import open_folder
from tests.support.postgres_pair import PostgresPair, postgres_pair
from tests.support.replicas import TOKEN, replica
from tests.support.sinkhole import Sinkhole

ROUNDS = 10
SENDERS = 4
BACK_SECONDS = 10.0
"""After the promotion, for a new mail to be taken in."""

pytestmark = [
    pytest.mark.needs_debian("postgresql-15"),
    pytest.mark.timeout(600),
    pytest.mark.long,
]


async def change_over(pair: PostgresPair, number: int) -> None:
    """Crash the primary, or stop it in order; the other one is the primary then, and alone."""
    await (pair.fail_over() if number % 2 == 0 else pair.switch_over())
    await pair.primary.set("synchronous_standby_names", "")


async def test_after_each_failover_it_goes_on_by_itself_and_nothing_is_lost() -> None:
    """Replication is synchronous whenever a primary is taken away: what was acknowledged is on
    both. The judge is the relay: each acknowledged mail has arrived."""
    with open_folder() as folder:
        async with postgres_pair(folder) as pair, Sinkhole() as sinkhole:
            url = await pair.make_database("mail")
            settings = {"lease_seconds": 5, "statement_timeout_seconds": 2}
            async with replica(folder, url, settings=settings) as run:
                async with mailing(run.grpc, TOKEN, sinkhole.port, SENDERS) as load:
                    for number in range(ROUNDS):
                        await pair.primary.set("synchronous_standby_names", "*")
                        assert await load.send(30), "mail flows, to both of them"
                        await change_over(pair, number)
                        assert await load.send(BACK_SECONDS), f"not back after change {number}"
                        await pair.rebuild()
                    acknowledged, wrong = await load.end()
                assert wrong == []
                assert len(acknowledged) > ROUNDS * SENDERS
                async with asyncio.timeout(60):
                    while acknowledged - sinkhole.versions.keys():
                        await asyncio.sleep(0.1)
                    held = "SELECT count(*) FROM mailproxy.deliveries"
                    while await pair.primary.fetchval(held, database="mail"):
                        await asyncio.sleep(0.1)
                assert run.process.poll() is None
