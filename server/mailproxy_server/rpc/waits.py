"""What a delivery waits for, and until when: from what was read of it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from mailproxy.v1 import message_pb2

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.policy import windows
from mailproxy_server.policy.usage import Usage
from mailproxy_server.policy.windows import Limit
from mailproxy_server.queue.explain import AHEAD_MOST, Means, Speed, Waiting
from mailproxy_server.queue.health import Health
from mailproxy_server.queue.read import Report
from mailproxy_server.reports.wire import reply_to_wire

Wait = message_pb2.Wait
_GUESS_PER_CONNECTION = 1.0
"""Deliveries a second, where nothing was sent lately that would tell."""


@dataclass(frozen=True, slots=True)
class Standing:
    """All that is known of one account in the snapshot of `now`."""

    now: datetime
    means: Means
    limits: Sequence[Limit]
    speed: Speed
    health: Health
    usage: Usage
    dispatchers: int


def of(one: Waiting, at: Standing, last: Report | None) -> list[Wait]:
    """Give all that one delivery waits for, what lies furthest in the future last."""
    if one.sending and one.fetching:
        return [_wait(message_pb2.WAIT_KIND_ATTACHMENTS, "its attachments are being fetched")]
    if one.sending:
        return [_wait(message_pb2.WAIT_KIND_ATTEMPT, "an attempt is being made")]
    found = [
        *_own(one, at, last),
        *_pause(one, at.health),
        *_breaker(at.health),
        *_throttle(at.health),
        *_limits(one, at),
    ]
    if one.ahead and not one.held and one.due_at <= at.now:
        more = "at least " if one.ahead >= AHEAD_MOST else ""
        words = f"{more}{one.ahead} deliveries of the account go first"
        found.append(_wait(message_pb2.WAIT_KIND_TURN, words, ahead=one.ahead))
    if not at.dispatchers:
        words = "no dispatcher is alive; start one: mailproxy serve"
        found.append(_wait(message_pb2.WAIT_KIND_DISPATCHER, words))
    return found


def estimate(one: Waiting, at: Standing) -> datetime | None:
    """Give when the next attempt is likely to be made; None when nobody can tell."""
    health = at.health
    if one.sending or one.held or health.paused_at or not at.dispatchers or not at.means.live:
        return None
    begin = max(one.due_at, at.now, health.probe_at or at.now)
    connections = min(health.connections or at.means.max_connections, at.means.max_connections)
    rate = connections * _GUESS_PER_CONNECTION
    if at.speed.sent and at.speed.seconds > 0:
        rate = at.speed.sent / at.speed.seconds
    if health.gap_seconds:
        rate = min(rate, 1 / health.gap_seconds)
    turn = begin + timedelta(seconds=one.ahead / rate)
    return max(turn, windows.room_at(at.usage, at.limits, begin, one.ahead))


def _own(one: Waiting, at: Standing, last: Report | None) -> list[Wait]:
    if one.due_at <= at.now:
        return []
    if not one.attempts:
        return [_wait(message_pb2.WAIT_KIND_SCHEDULE, "its send_time", until=one.due_at)]
    wait = _wait(
        message_pb2.WAIT_KIND_BACKOFF,
        f"its next attempt, after {one.attempts} that did not succeed",
        until=one.due_at,
    )
    if last is not None:
        wait.reason = last.reason  # type: ignore[assignment]  # the contract's numbers
        if last.reply_code is not None:
            wait.reply.CopyFrom(
                reply_to_wire(
                    last.reply_code,
                    last.reply_enhanced or "",
                    last.reply_text or "",
                    last.reply_stage or "",
                )
            )
    return [wait]


def _pause(one: Waiting, health: Health) -> list[Wait]:
    kind = message_pb2.WAIT_KIND_PAUSE
    found = []
    if health.paused_at is not None:
        note = f" ({health.pause_note})" if health.pause_note else ""
        found.append(_wait(kind, f"its account is paused{note}; mailproxy queue resume"))
    if one.held:
        found.append(_wait(kind, "its labels are paused; mailproxy queue resume"))
    return found


def _breaker(health: Health) -> list[Wait]:
    if health.kind is None:
        return []
    words = f"the account's breaker is open since {health.opened_at:%Y-%m-%d %H:%M:%S} UTC"
    wait = _wait(message_pb2.WAIT_KIND_BREAKER, words, until=health.probe_at)
    wait.reason = health.reason or Reason.NONE  # type: ignore[assignment]
    if reply := health.reply:
        wait.reply.CopyFrom(
            reply_to_wire(reply.code, reply.enhanced, reply.text, health.reply_stage or "")
        )
    return [wait]


def _throttle(health: Health) -> list[Wait]:
    if health.connections is None:
        return []
    words = f"the relay asked for a slower pace: {health.connections} connections are left"
    if health.gap_seconds:
        words = f"the relay asked for a slower pace: one message every {health.gap_seconds:g} s"
    return [_wait(message_pb2.WAIT_KIND_THROTTLE, words)]


def _limits(one: Waiting, at: Standing) -> list[Wait]:
    if one.due_at > at.now:
        return []
    found = []
    for limit in at.limits:
        room = windows.room(at.usage, [limit], at.now)
        if room.opens_at is not None:
            words = f"the account's limit of {limit.count} {limit.unit} in {limit.window:g} s"
            until = windows.room_at(at.usage, [limit], at.now, one.ahead)
            found.append(_wait(message_pb2.WAIT_KIND_RATE_LIMIT, words, until=until))
    return found


def _wait(
    kind: message_pb2.WaitKind.ValueType, words: str, until: datetime | None = None, ahead: int = 0
) -> Wait:
    wait = Wait(kind=kind, words=words, ahead=ahead)
    if until is not None:
        stamp = Timestamp()
        stamp.FromDatetime(until)
        wait.until.CopyFrom(stamp)
    return wait
