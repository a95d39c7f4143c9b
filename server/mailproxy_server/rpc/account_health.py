"""How an account fares, in the words of the contract. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.policy import windows
from mailproxy_server.policy.usage import Usage
from mailproxy_server.policy.windows import Limit, Unit
from mailproxy_server.queue.health import Health
from mailproxy_server.reports.wire import reply_to_wire

_REMEDIES = {
    Reason.RELAY_AUTH: "set the credentials anew: mailproxy account set {id} --password-stdin",
    Reason.RELAY_TLS: "check the account's TLS mode, port and certificates: "
    "mailproxy account verify {id}",
    Reason.RELAY_UNREACHABLE: "check that the relay is up and can be reached from here: "
    "mailproxy account verify {id}",
    Reason.QUOTA_EXHAUSTED: "the relay takes no more from this account for now: wait, raise its "
    "quota, or ask the provider",
}
_UNITS = {
    Unit.RECIPIENTS: account_pb2.RATE_UNIT_RECIPIENTS,
    Unit.MESSAGES: account_pb2.RATE_UNIT_MESSAGES,
}


@dataclass(frozen=True, slots=True)
class Fares:
    """All that is told of one account: its health, its limits, and what is used of them."""

    health: Health
    limits: Sequence[Limit]
    usage: Usage


def to_wire(fares: Fares) -> account_pb2.AccountHealth:
    """Give the AccountHealth."""
    health = fares.health
    wire = account_pb2.AccountHealth(
        paused=health.paused_at is not None,
        pause_note=health.pause_note or "",
        breaker=account_pb2.BREAKER_STATE_CLOSED,
        throttled_connections=health.connections or 0,
        limits=[_use(limit, fares) for limit in fares.limits],
    )
    if health.paused_at:
        wire.pause_time.FromDatetime(health.paused_at)
    if health.gap_seconds:
        wire.throttled_gap.FromNanoseconds(round(health.gap_seconds * 1e9))
    if health.kind is not None:
        _open(wire, health)
    return wire


def limit_to_wire(limit: Limit) -> account_pb2.RateLimit:
    """Give a limit as the contract words it."""
    window = Duration()
    window.FromNanoseconds(round(limit.window * 1e9))
    return account_pb2.RateLimit(count=limit.count, window=window, unit=_UNITS[limit.unit])


def _open(wire: account_pb2.AccountHealth, health: Health) -> None:
    wire.breaker = account_pb2.BREAKER_STATE_OPEN
    reason = Reason(health.reason or Reason.NONE)
    wire.reason = int(reason)  # type: ignore[assignment]  # the contract's numbers
    wire.remedy = _remedy(reason, health)
    if reply := health.reply:
        wire.reply.CopyFrom(
            reply_to_wire(reply.code, reply.enhanced, reply.text, health.reply_stage or "")
        )
    _set(wire, "open_time", health.opened_at)
    _set(wire, "next_probe_time", health.probe_at)


def _remedy(reason: Reason, health: Health) -> str:
    """Give what to do, after our own words about what went wrong, where there are any."""
    remedy = _REMEDIES.get(reason, "").format(id=health.account_id)
    return ": ".join(filter(None, (health.detail, remedy)))


def _use(limit: Limit, fares: Fares) -> account_pb2.LimitUse:
    now = fares.health.now
    use = account_pb2.LimitUse(
        limit=limit_to_wire(limit), used=windows.used(fares.usage, limit, now)
    )
    opens_at = windows.room(fares.usage, [limit], now).opens_at
    if opens_at is not None:
        use.room_time.FromDatetime(opens_at)
    return use


def _set(wire: account_pb2.AccountHealth, field: str, instant: datetime | None) -> None:
    if instant is not None:
        getattr(wire, field).FromDatetime(instant)
