"""What `mailproxy diagnose` makes of facts."""

from datetime import UTC, datetime, timedelta

import pytest
from mailproxy_server.app import findings
from mailproxy_server.app.findings import Level
from mailproxy_server.queue.checkup import (
    Broken,
    Counts,
    Dispatcher,
    Holder,
    Replication,
    Stuck,
    Waiting,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
GIB = 2**30


@pytest.mark.parametrize(
    ("found", "level", "name"),
    [
        ("0007", Level.OK, ""),
        ("0006", Level.FAULT, "old_migration"),
        ("", Level.FAULT, "old_migration"),
        ("0008", Level.WARNING, "new_migration"),
    ],
)
def test_a_schema(found: str, level: Level, name: str) -> None:
    finding = findings.schema(found, "0007")
    assert (finding.level, finding.fault) == (level, name)


@pytest.mark.parametrize(
    ("skew", "words"),
    [(0.01, "10 ms"), (-1.9, "1900 ms"), (2.1, "2.1 s ahead of"), (-90, "90.0 s behind")],
)
def test_a_clock(skew: float, words: str) -> None:
    finding = findings.clock(skew)
    assert words in finding.words
    assert bool(finding.fault) is (abs(skew) > 2)


@pytest.mark.parametrize(
    ("free", "total", "full"),
    [
        (50 * GIB, 2000 * GIB, False),
        (10 * GIB, 250 * GIB, True),
        (3 * GIB, 20 * GIB, False),
        (GIB // 8, GIB, True),
        (0, 0, True),
    ],
)
def test_a_disk(free: int, total: int, full: bool) -> None:
    assert (findings.disk("/d", free, total).fault == "full_disk") is full


def test_dispatchers_that_are_silent_are_told_beside_those_that_live() -> None:
    live, dead = Dispatcher("a", 1, 3.0, 30.0), Dispatcher("b", 2, 31.0, 30.0)
    assert [f.fault for f in findings.lanes([live, dead])] == ["dead_dispatcher", ""]
    assert [f.fault for f in findings.lanes([])] == ["dead_dispatcher"]
    assert [f.fault for f in findings.lanes([live])] == [""]


def test_what_a_dispatcher_knows_and_cannot_write_is_told() -> None:
    moment = Dispatcher("a", 1, 3.0, 30.0, unwritten=5, unwritten_seconds=0.5)
    assert [f.fault for f in findings.lanes([moment])] == [""]
    stuck = moment._replace(unwritten=310, unwritten_seconds=25.0)
    found, _ = findings.lanes([stuck])
    assert found.fault == "unwritten_outcomes"
    assert "310 outcomes" in found.words
    assert "sent, not yet written" in found.words


def test_leases() -> None:
    assert findings.leases([]).level is Level.OK
    stuck = findings.leases([Stuck("w", 3, 40.0), Stuck("v", 4, 300.0)])
    assert stuck.words == ("7 deliveries are held by dispatchers that are gone, for up to 5 min")


@pytest.mark.parametrize(
    ("reason", "said", "name"),
    [
        (51, "535 no", "wrong_password"),
        (52, "certificate has expired", "expired_certificate"),
        (52, "wrong version number", "relay_tls"),
        (42, "450 quota", "relay_quota"),
        (50, "refused", "relay_down"),
    ],
)
def test_an_open_breaker(reason: int, said: str, name: str) -> None:
    each = Broken("default", "ses", "fault", reason, 0, "", said, NOW)
    finding = findings.relay(each)
    assert finding.fault == name
    assert said in finding.words
    assert finding.remedy


def waiting(**given: object) -> Waiting:
    plain = Waiting("default", "ses", 5, 10.0, None, False, "", "[]", "{}")
    return plain._replace(**given)  # type: ignore[arg-type]


def test_an_account_with_due_mail() -> None:
    assert findings.waits(waiting(), NOW, 300) is None
    old = findings.waits(waiting(oldest_seconds=301.0), NOW, 300)
    assert old is not None
    assert old.fault == "backlog"
    paused = findings.waits(waiting(paused=True, note="why"), NOW, 300)
    assert paused is not None
    assert "(why)" in paused.words
    assert "sent nothing today" in paused.words
    recent = waiting(paused=True, last_sent_at=NOW - timedelta(minutes=5))
    later = findings.waits(recent, NOW, 300)
    assert later is not None
    assert "sent last 5 min ago" in later.words


@pytest.mark.parametrize(
    ("counts", "level"),
    [
        (Counts(0, 0, 0, 0, 0, 1, 1), Level.OK),
        (Counts(10, 10, 1, 100, 5, 1, 1), Level.OK),
        (Counts(10, 10, 1, 100, 6, 1, 1), Level.WARNING),
        (Counts(801, 1, 1, 0, 0, 1, 1), Level.WARNING),
    ],
)
def test_totals(counts: Counts, level: Level) -> None:
    assert findings.totals(counts, 1000).level is level


@pytest.mark.parametrize("kind", ["session", "slot", "prepared"])
def test_what_holds_back_vacuum_has_a_remedy(kind: str) -> None:
    (finding,) = findings.hygiene([Holder(kind, "x", 700.0, 9)])
    assert finding.fault == "long_transaction"
    assert "12 min" in finding.words
    assert finding.remedy


@pytest.mark.parametrize(
    ("found", "required", "faults"),
    [
        (Replication(0, "", True), False, []),
        (Replication(0, "", True), True, ["not_synchronous"]),
        (Replication(1, "", True), False, ["asynchronous_standby"]),
        (Replication(1, "", True), True, ["not_synchronous"]),
        (Replication(1, "*", True), True, [""]),
        (Replication(0, "", False), False, ["unknown_identity"]),
    ],
)
def test_standbys(found: Replication, required: bool, faults: list[str]) -> None:
    told = list(findings.replication(found, required=required))
    assert [one.fault for one in told] == faults
    assert all(one.remedy for one in told if one.fault)


@pytest.mark.parametrize(
    ("days", "level"), [(-3, Level.FAULT), (0, Level.FAULT), (13, Level.WARNING), (15, Level.OK)]
)
def test_a_certificate(days: int, level: Level) -> None:
    assert findings.certificate("c.pem", NOW + timedelta(days=days), NOW).level is level
