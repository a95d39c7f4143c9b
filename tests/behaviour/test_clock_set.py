"""PostgreSQL's clock is set by an hour and by a day, back and forward, while limited mail flows.

Mail goes on, what was queued before as well as what comes after; and no window of real time is
exceeded, by the SMTP server's clock. The 10 s window is the test's own: see test_limits_replicas.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import asyncpg
import pytest
from mailproxy import AsyncMailProxyClient, Message

from tests.support.eventually import eventually
from tests.support.replicas import client_of, replica
from tests.support.serving import REAL
from tests.support.set_clock import Clock, settable_cluster
from tests.support.sinkhole import Sinkhole
from tests.support.telling import tell
from tests.support.timed import fullest, longest_pause, note_mails

pytestmark = pytest.mark.needs_debian("faketime", "postgresql-15")

HOUR, DAY = 3600, 86400
LIMITS = ((10, 1), (60, 10))
UNLOOKING = ("-P", str(Path(__file__).parents[1] / "support/serve_unlooking.py"))


@dataclass
class Limited:
    """A server whose account is limited, its database's clock, and when MAIL came."""

    client: AsyncMailProxyClient
    clock: Clock
    instants: list[float]
    _numbers: "count[int]"

    async def submit(self, many: int) -> None:
        numbers = [next(self._numbers) for _ in range(many)]
        await self.client.submit_many(
            [Message(from_address="a@a.test", to=f"u{n}@b.test", text="Hi.\n") for n in numbers]
        )

    async def sent(self, many: int, what: str) -> None:
        """Wait until so many have come in all."""
        await eventually(lambda: len(self.instants) >= many, what)


@asynccontextmanager
async def limited(folder: Path, program: tuple[str, ...] = REAL) -> AsyncIterator[Limited]:
    folder.mkdir()
    with settable_cluster() as (cluster, clock):
        url = cluster.make_database()
        async with (
            Sinkhole() as sinkhole,
            replica(folder, url, settings={"poll_seconds": 1}, program=program) as run,
            client_of(run) as client,
        ):
            await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
            limits = [{"count": n, "window": s, "unit": "recipients"} for n, s in LIMITS]
            link = await asyncpg.connect(url)
            await link.execute(
                "UPDATE mailproxy.accounts SET limits = $1, generation = generation + 1",
                json.dumps(limits),
            )
            await link.execute("SELECT pg_notify('mailproxy_accounts', '')")
            await link.close()
            yield Limited(client, clock, note_mails(sinkhole), count())


def exceeded(instants: list[float]) -> list[str]:
    """Give which limits were exceeded, in words."""
    found = [(fullest(instants, seconds), many, seconds) for many, seconds in LIMITS]
    return [f"{most} in {s} s, {many} allowed" for most, many, s in found if most > many]


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_mail_goes_on_and_no_window_is_exceeded_whatever_the_clock_is_set_to(
    data_dir: Path,
) -> None:
    async with limited(data_dir) as one:
        await one.submit(40)
        await one.sent(5, "it sends")
        expected = 40
        for ahead in (-HOUR, 0, -DAY, 0, HOUR, 0, DAY, 0):
            await one.submit(25)
            one.clock.set(ahead)
            await one.submit(25)
            expected += 50
            await one.sent(expected - 25, f"it sends at {ahead:+d} s")
        await one.sent(expected, "all has left")
        tell(f"the longest pause was {longest_pause(one.instants):.1f} s")
        assert len(one.instants) == expected
        assert exceeded(one.instants) == []


@pytest.mark.timeout(120)
@pytest.mark.parametrize("ahead", [HOUR, DAY])
async def test_control_without_a_second_clock_a_step_forward_exceeds_the_limit(
    data_dir: Path, ahead: int
) -> None:
    async with limited(data_dir, UNLOOKING) as one:
        await one.submit(200)
        await one.sent(60, "it has sent what a window holds")
        one.clock.set(ahead)
        await eventually(lambda: exceeded(one.instants), "the limit is exceeded")
