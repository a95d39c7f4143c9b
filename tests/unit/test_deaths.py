"""Who is dead: by heartbeats that stood still while our own went on, and by no clock of others."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import pytest
from mailproxy_server.dispatcher.lease import Deaths, Lease, this_worker
from mailproxy_server.queue.sessions import Sessions
from mailproxy_server.queue.workers import Seen, Worker

ME = this_worker(UUID(int=1))
OTHER = Worker(UUID(int=2), "elsewhere", "another boot", 1, 1)
START = datetime(2026, 12, 1, tzinfo=UTC)
LEASE = 30.0


class Look(NamedTuple):
    """At `now` the other's heartbeat reads `beat`; our own have no gap since `since`."""

    now: float
    beat: float
    since: float | None = 0.0


def judged(*looks: Look) -> list[bool]:
    """Tell for each look whether the other one counts as dead."""
    deaths = Deaths(Lease(Sessions("postgresql://h/db"), ME, LEASE))
    return [
        bool(deaths.silent([Seen(OTHER, START + timedelta(seconds=beat), LEASE)], now, since))
        for now, beat, since in looks
    ]


@pytest.mark.parametrize(
    ("looks", "dead"),
    [
        # It beats.
        ([Look(0, 0), Look(20, 15), Look(40, 35), Look(60, 55)], [False] * 4),
        # It stands still for a lease.
        ([Look(0, 0), Look(29, 0), Look(31, 0)], [False, False, True]),
        # It beats again in the last moment.
        ([Look(0, 0), Look(29, 0), Look(31, 30), Look(59, 30)], [False] * 4),
        # The database was away for minutes: nobody's heartbeats, ours neither.
        (
            [Look(0, 0), Look(100, 0, None), Look(200, 0, 199.0), Look(228, 0, 199.0)],
            [False] * 4,
        ),
        # ... and a lease after it came back the other one is still not heard.
        ([Look(0, 0), Look(200, 0, 199.0), Look(230, 0, 199.0)], [False, False, True]),
        # We were stopped, and look anew.
        ([Look(0, 0), Look(500, 0, 500.0), Look(501, 499.0, 500.0)], [False] * 3),
        # The database's clock is set back, or forward by a day: a heartbeat is a heartbeat.
        ([Look(0, 0), Look(20, -3600), Look(40, -3580), Look(60, 86400)], [False] * 4),
        # We have only begun: what we see for the first time may be old, and has a whole lease.
        ([Look(1000, -5000, 1000.0), Look(1029, -5000, 1000.0)], [False, False]),
    ],
)
def test_a_heartbeat_that_stands_still_while_ours_go_on_tells_a_death(
    looks: list[Look], dead: list[bool]
) -> None:
    assert judged(*looks) == dead


def test_control_without_our_own_heartbeats_an_outage_looks_like_a_death() -> None:
    outage = [Look(0, 0), Look(100, 0, None), Look(200, 0, 199.0)]
    heedless = [look._replace(since=0.0) for look in outage]
    assert judged(*heedless)[-1]
    assert not judged(*outage)[-1]
