"""Metrics that come from the database: what waits, which accounts may not send, and its health.

Read when they are asked for, and no oftener than costs a fiftieth of the time.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import asyncpg
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mailproxy_server.mail.delivery import Priority
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.policy import windows
from mailproxy_server.policy.usage import Usage
from mailproxy_server.queue import gauges
from mailproxy_server.queue.gauges import Depth, Reading, Standing
from mailproxy_server.queue.hot import Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.telemetry.meters import ACCOUNT

_FRESH_SECONDS = 1.0
_SHARE = 0.02
_SAME = " From the database: the same on every replica, so take the max."
_SECONDS = {1: "second", 60: "minute", 3600: "hour", 86400: "day"}


class Gauges(Collector):
    """The newest reading. `is_up` tells whether the database takes writes."""

    def __init__(self, pool: Pool, is_up: Callable[[], bool]) -> None:
        self._pool = pool
        self._is_up = is_up
        self._reading: Reading | None = None
        self._until = 0.0
        self._turn = asyncio.Lock()

    async def refresh(self) -> None:
        """Read anew unless the last reading is fresh."""
        async with self._turn:
            began = time.monotonic()
            if began < self._until:
                return
            if self._reading is None and not self._is_up():
                return  # a scrape that waits for a database that is away is lost itself
            try:
                async with borrowed(self._pool) as link:
                    self._reading = await gauges.read(link)
            except (Unavailable, asyncpg.PostgresError):
                self._reading, self._until = None, time.monotonic() + _FRESH_SECONDS
                return
            ended = time.monotonic()
            self._until = ended + max(_FRESH_SECONDS, (ended - began) / _SHARE)

    def collect(self) -> Iterable[Metric]:
        """Give the metrics of the last reading."""
        return families(self._reading, is_up=self._is_up())


def families(reading: Reading | None, *, is_up: bool) -> Iterator[GaugeMetricFamily]:
    """Give the metrics of a reading; None when there could be none."""
    up = GaugeMetricFamily(
        "gmp_database_up",
        "Whether the database can be read and takes writes, as this replica sees it (looked at "
        "every second; 0 after two failures). Worry when it is 0: nothing is taken in.",
    )
    up.add_metric((), float(is_up and reading is not None))
    yield up
    if reading is not None:
        for part in (_queue, _accounts, _hygiene):
            yield from part(reading)


def _queue(reading: Reading) -> Iterator[GaugeMetricFamily]:
    pending = _family(
        "gmp_pending_messages",
        "Messages that are to do, counted once for each recipient: due, scheduled, waiting for a "
        "retry, held, and in flight. Worry when it grows and gmp_sent_total does not.",
    )
    sums = Counter[tuple[str, ...]]()
    for each in reading.depths:
        sums[_labels(each)] += each.count
    for labels, count in sums.items():
        pending.add_metric(labels, count)
    yield pending
    for name, help_text, value in _DEPTHS:
        family = _family(name, help_text, "priority")
        for each in reading.depths:
            family.add_metric((*_labels(each), Priority(each.priority).name.lower()), value(each))
        yield family


_DEPTHS: tuple[tuple[str, str, Callable[[Depth], float]], ...] = (
    (
        "gmp_queue_depth",
        "Recipients that are to do, by account and priority. Worry when it nears "
        "MAILPROXY_QUEUE_DEPTH: then submissions are refused.",
        lambda each: each.count,
    ),
    (
        "gmp_queue_due",
        "Recipients that could be sent now. Worry above 100 for longer than a few minutes: what "
        "comes in is more than what goes out.",
        lambda each: each.due,
    ),
    (
        "gmp_queue_oldest_due_seconds",
        "For how long the oldest one has been due. Worry above 300: `mailproxy diagnose` says why.",
        lambda each: each.oldest_seconds,
    ),
)


def _accounts(reading: Reading) -> Iterator[GaugeMetricFamily]:
    breaker = _family(
        "gmp_breaker_open",
        "1 when the account's relay does not work or takes no more for now. Worry whenever it is "
        "1: `mailproxy account show` has the remedy.",
    )
    paused = _family(
        "gmp_account_paused",
        "1 when an operator paused the account, or all. Worry when nobody remembers why.",
    )
    limit = _family("gmp_rate_limit", "How many may leave within the window.", "window", "unit")
    room = _family(
        "gmp_rate_limit_headroom",
        "How many more may leave now. Worry when it stays 0 while mail is due: the limit holds it "
        "back.",
        "window", "unit",
    )  # fmt: skip
    for each in reading.standings:
        labels = _labels(each)
        breaker.add_metric(labels, float(bool(each.breaker)))
        paused.add_metric(labels, float(each.paused))
        usage = Usage.from_json(each.usage)
        for one in windows.limits_of(each.limits):
            window = _SECONDS.get(one.window, f"{one.window:g}s")  # type: ignore[call-overload]
            used = windows.used(usage, one, reading.now)
            limit.add_metric((*labels, window, one.unit.value), one.count)
            room.add_metric((*labels, window, one.unit.value), max(one.count - used, 0))
    yield from (breaker, paused, limit, room)


def _hygiene(reading: Reading) -> Iterator[GaugeMetricFamily]:
    hygiene = reading.hygiene
    dead = GaugeMetricFamily(
        "gmp_table_dead_tuples",
        "Dead rows that vacuum has not removed. Worry above a million in deliveries: something "
        "holds xmin back." + _SAME,
        labels=("table",),
    )
    for table, count in sorted(hygiene.dead.items()):
        dead.add_metric((table,), count)
    yield dead
    for name, value, words in (
        (
            "gmp_oldest_transaction_seconds",
            hygiene.oldest_seconds,
            "Age of the oldest open transaction that this user may see. Worry above 300: vacuum "
            "cannot clean up behind it.",
        ),
        (
            "gmp_oldest_xmin_age",
            hygiene.xmin_age,
            "Transactions since the oldest that a session, slot or prepared transaction looks back "
            "to. Worry above ten million.",
        ),
        (
            "gmp_dispatchers_alive",
            hygiene.dispatchers,
            "Dispatchers that hold their lease, over all replicas. Worry at 0: nothing is sent.",
        ),
        (
            "gmp_outbox_waiting",
            hygiene.outbox,
            "Rows of the outbox that were not moved into the queue yet. Worry when it grows: no "
            "dispatcher runs, or the database is slow.",
        ),
    ):
        family = GaugeMetricFamily(name, words + _SAME)
        family.add_metric((), value)
        yield family


def _labels(each: Depth | Standing) -> tuple[str, ...]:
    return (str(each.tenant_id), each.tenant_name, each.account_id, each.account_id)


def _family(name: str, words: str, *more: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, words + _SAME, labels=(*ACCOUNT, *more))
