"""When an email may be sent: send_time, expire_time and ttl, against a given now."""

from datetime import UTC, datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import message_pb2

from mailproxy_server.content.violations import Violations

AHEAD_LIMIT: Final = timedelta(days=366)
"""How far ahead send_time may be (a year, a leap one)."""
TTL_LIMIT: Final = timedelta(days=3660)
"""The longest ttl; beyond it leave ttl out."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_SECOND: Final = -62_135_596_800
_LAST_SECOND: Final = 253_402_300_799

Schedule = tuple[datetime | None, datetime | None, timedelta | None]
"""send_time (None: now), expire_time, ttl."""


def check(email: message_pb2.Email, now: datetime, violations: Violations) -> Schedule:
    """Give the times of an email; a send_time that has passed means now."""
    send = (
        _instant(email.send_time, "send_time", violations) if email.HasField("send_time") else None
    )
    if send and send <= now:
        send = None
    _check_ahead(send, now, violations)
    expiration = email.WhichOneof("expiration")
    if expiration == "ttl":
        return send, None, _ttl(email, violations)
    if expiration == "expire_time":
        return send, _expiry(email.expire_time, now, send, violations), None
    return send, None, None


def check_move(
    request: message_pb2.RescheduleMessageRequest, now: datetime
) -> tuple[datetime, datetime | None]:
    """Give the new send_time of a message, and its new expire_time where one is given; raise
    `InvalidFields`."""
    violations = Violations("")
    if not request.HasField("send_time"):
        violations.add("send_time", "is required")
    send = _instant(request.send_time, "send_time", violations) or now
    _check_ahead(send, now, violations)
    expire = None
    if request.HasField("expire_time"):
        expire = _expiry(request.expire_time, now, send, violations)
    violations.refuse()
    return send, expire


def check_expiry(request: message_pb2.RetryMessageRequest, now: datetime) -> datetime | None:
    """Give the expire_time of a new round, None for none; raise `InvalidFields`."""
    violations = Violations("")
    if not request.HasField("expire_time"):
        return None
    expire = _expiry(request.expire_time, now, None, violations)
    violations.refuse()
    return expire


def _check_ahead(send: datetime | None, now: datetime, violations: Violations) -> None:
    if send and send > now + AHEAD_LIMIT:
        violations.add("send_time", "is more than a year ahead")


def _expiry(
    stamp: Timestamp, now: datetime, send: datetime | None, violations: Violations
) -> datetime | None:
    expire = _instant(stamp, "expire_time", violations)
    if expire and expire <= now:
        violations.add("expire_time", "has passed; give a later time, or leave it out")
    elif expire and send and expire <= send:
        violations.add("expire_time", "is not later than send_time")
    return expire


def _ttl(email: message_pb2.Email, violations: Violations) -> timedelta | None:
    ttl = email.ttl
    if ttl.seconds < 1 or not 0 <= ttl.nanos < 1_000_000_000:
        violations.add("ttl", "is shorter than one second")
    elif ttl.seconds > TTL_LIMIT.total_seconds():
        violations.add("ttl", f"is longer than {TTL_LIMIT.days} days; leave it out")
    else:
        return timedelta(seconds=ttl.seconds, microseconds=ttl.nanos // 1000)
    return None


def _instant(stamp: Timestamp, field: str, violations: Violations) -> datetime | None:
    if not (_FIRST_SECOND <= stamp.seconds <= _LAST_SECOND and 0 <= stamp.nanos < 1_000_000_000):
        violations.add(field, "is not a valid time: the years are 1 to 9999, nanos below 10^9")
        return None
    return _EPOCH + timedelta(seconds=stamp.seconds, microseconds=stamp.nanos // 1000)
