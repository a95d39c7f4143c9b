"""An account's health in the words of the contract: what is the matter, and what to do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from mailproxy.v1 import account_pb2, delivery_pb2
from mailproxy_server.mail.delivery import Reason
from mailproxy_server.policy import windows
from mailproxy_server.policy.usage import Usage
from mailproxy_server.policy.windows import Limit, Unit
from mailproxy_server.queue.health import Health
from mailproxy_server.rpc.account_health import Fares, to_wire

NOW = datetime(2030, 1, 1, 12, tzinfo=UTC)
WELL: dict[str, Any] = {
    "account_id": "prod",
    "now": NOW,
    "paused_at": None,
    "pause_note": None,
    "kind": None,
    "reason": None,
    "reply_code": None,
    "reply_enhanced": None,
    "reply_text": None,
    "reply_stage": None,
    "detail": None,
    "opened_at": None,
    "probe_at": None,
    "probes": 0,
    "account_revision": None,
    "generation": 0,
    "connections": None,
    "gap_seconds": 0.0,
    "throttled_at": None,
}


def wire(*limits: Limit, usage: Usage | None = None, **fields: Any) -> account_pb2.AccountHealth:
    return to_wire(Fares(Health(**WELL | fields), limits, usage or Usage()))


def opened(reason: Reason, **fields: Any) -> account_pb2.AccountHealth:
    probe_at = NOW + timedelta(seconds=30)
    return wire(kind="fault", reason=int(reason), opened_at=NOW, probe_at=probe_at, **fields)


def test_an_account_that_is_well_has_a_closed_breaker_and_nothing_else() -> None:
    closed = account_pb2.AccountHealth(breaker=account_pb2.BREAKER_STATE_CLOSED)
    assert wire() == closed


def test_an_open_breaker_says_why_since_when_and_until_when() -> None:
    said = {"reply_code": 535, "reply_enhanced": "5.7.8", "reply_text": "no", "reply_stage": "AUTH"}
    health = opened(Reason.RELAY_AUTH, **said)
    assert health.breaker == account_pb2.BREAKER_STATE_OPEN
    assert health.reason == delivery_pb2.FAILURE_REASON_RELAY_AUTH
    assert (health.reply.code, health.reply.enhanced_code) == (535, "5.7.8")
    assert health.open_time.ToDatetime(UTC) == NOW
    assert health.next_probe_time.ToDatetime(UTC) == NOW + timedelta(seconds=30)


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason.RELAY_AUTH, "mailproxy account set prod --password-stdin"),
        (Reason.RELAY_TLS, "mailproxy account verify prod"),
        (Reason.RELAY_UNREACHABLE, "mailproxy account verify prod"),
        (Reason.QUOTA_EXHAUSTED, "raise its quota"),
    ],
)
def test_each_reason_has_its_remedy(reason: Reason, words: str) -> None:
    assert words in opened(reason).remedy


def test_our_own_words_about_a_fault_come_before_the_remedy() -> None:
    health = opened(Reason.RELAY_TLS, detail="certificate has expired")
    assert health.remedy.startswith("certificate has expired: check the account's TLS mode")


def test_a_pause_and_a_throttle_are_told() -> None:
    health = wire(paused_at=NOW, pause_note="audit", connections=1, gap_seconds=2.5)
    assert (health.paused, health.pause_note) == (True, "audit")
    assert health.pause_time.ToDatetime(UTC) == NOW
    assert health.throttled_connections == 1
    assert health.throttled_gap.ToTimedelta() == timedelta(seconds=2.5)


def test_each_limit_tells_what_is_used_and_when_there_is_room_again() -> None:
    few, many = Limit(5, 60.0), Limit(100, 3600.0, Unit.MESSAGES)
    usage = windows.reserve(Usage(), (few, many), NOW, recipients=5, messages=3)
    full, free = wire(few, many, usage=usage).limits
    assert (full.limit.count, full.used, full.HasField("room_time")) == (5, 5, True)
    assert full.room_time.ToDatetime(UTC) > NOW + timedelta(seconds=60)
    assert (free.limit.unit, free.used) == (account_pb2.RATE_UNIT_MESSAGES, 3)
    assert not free.HasField("room_time")
