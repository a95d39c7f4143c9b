"""Counts by account keep their names few, and outlive a database that is away."""

import asyncio
from collections.abc import Collection, Mapping
from uuid import UUID, uuid4

import pytest
import structlog
from mailproxy_server.mail.errors import Unavailable
from mailproxy_server.telemetry import names, tally
from mailproxy_server.telemetry.names import TenantNames
from mailproxy_server.telemetry.pulse import Pulse
from mailproxy_server.telemetry.tally import Rising, Tally
from prometheus_client import CollectorRegistry, Counter

from tests.support.eventually import eventually

LABELS = ("tenant_id", "tenant_name", "account_id", "account_name")


def counter() -> tuple[CollectorRegistry, Counter]:
    registry = CollectorRegistry()
    return registry, Counter("c_total", "c", LABELS, registry=registry)


def samples(registry: CollectorRegistry) -> dict[str, float]:
    return {
        sample.labels["account_id"]: sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if sample.name == "c_total"
    }


async def known(tenant_ids: Collection[UUID]) -> Mapping[UUID, str]:
    return dict.fromkeys(tenant_ids, "shop")


async def test_accounts_past_the_bound_are_counted_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tally, "MOST", 3)
    registry, meter = counter()
    counts, tenant = Tally(TenantNames(known)), uuid4()
    for number in range(5):
        counts.add(meter, (tenant, f"a{number}"), 10)
    await counts.write()
    counts.add(meter, (tenant, "a0"))
    await counts.write()
    assert samples(registry) == {"a0": 11, "a1": 10, "a2": 10, "other": 20}


async def test_tenants_past_the_bound_have_no_name_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(names, "MOST", 1)
    found, first, second = TenantNames(known), uuid4(), uuid4()
    await found.learn([first])
    await found.learn([second])
    assert found.labels(first) == (str(first), "shop")
    assert found.labels(second) == ("other", "other")


async def test_what_was_counted_while_the_database_was_away_is_not_lost() -> None:
    away = True

    async def lookup(tenant_ids: Collection[UUID]) -> Mapping[UUID, str]:
        if away:
            raise Unavailable("DATABASE_UNAVAILABLE", "away", 1.0)
        return await known(tenant_ids)

    registry, meter = counter()
    counts, key = Tally(TenantNames(lookup)), (uuid4(), "a")
    counts.add(meter, key, 2)
    with pytest.raises(Unavailable):
        await counts.write()
    away = False
    counts.add(meter, key, 3)
    await counts.write()
    assert samples(registry) == {"a": 5}


async def test_a_look_that_fails_is_told_of_and_stops_neither_the_pulse_nor_other_looks() -> None:
    beats = 0

    async def broken() -> None:
        raise LookupError("no such tenant")

    async def away() -> None:
        raise Unavailable("DATABASE_UNAVAILABLE", "away", 1.0)

    async def count() -> None:
        nonlocal beats
        beats += 1

    pulse = asyncio.create_task(Pulse("front", [broken, away, count]).run())
    with structlog.testing.capture_logs() as lines:
        await eventually(lambda: beats == 2, "two beats")
    pulse.cancel()
    assert [line["event"] for line in lines] == ["numbers of this process were not written"] * 2


def test_a_total_kept_elsewhere_is_written_as_it_rises() -> None:
    registry = CollectorRegistry()
    rising = Rising(Counter("d_total", "d", registry=registry))
    for total in (3, 3, 10):
        rising.reach(total)
    assert registry.get_sample_value("d_total") == 10
