"""Counts what attempts come to: outcomes by account, replies of relays, how long things take.

On the way of a message this adds to numbers in memory; `write` publishes them, once a second.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from mailproxy_server.dispatcher.relays import Key
from mailproxy_server.dispatcher.sending import Sent
from mailproxy_server.mail.delivery import Event, Outcome, Priority, Reason
from mailproxy_server.mail.transcript import Reply, Stage, Transcript
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.contents import Origin
from mailproxy_server.queue.settle import Settlement
from mailproxy_server.telemetry import meters
from mailproxy_server.telemetry.activity import Activity
from mailproxy_server.telemetry.pending import Pending
from mailproxy_server.telemetry.tally import Tally

if TYPE_CHECKING:
    from mailproxy_server.dispatcher.spans import AttemptSpans

_METERS = {
    Event.SENT: meters.SENT,
    Event.FAILED: meters.ERRORS,
    Event.EXPIRED: meters.ERRORS,
    Event.DEFERRED: meters.DEFERRED,
}


class Recording:
    """Of one dispatcher."""

    def __init__(
        self,
        tally: Tally,
        spans: "AttemptSpans | None" = None,
        activity: Activity | None = None,
    ) -> None:
        self._spans = spans
        self._activity = activity
        self._tally = tally
        self._replies: Counter[tuple[int, Stage]] = Counter()
        self._seen: set[Key] = set()
        self._waits = {
            int(each): Pending(meters.SUBMIT_TO_SENT.labels(each.name.lower())) for each in Priority
        }
        self._tries = {
            each: Pending(meters.ATTEMPT.labels(each)) for each in ("sent", "deferred", "failed")
        }

    def attempted(self, sent: Sent) -> None:
        """Something came of a parcel."""
        attempt = sent.attempt
        if attempt is None:
            return
        if exchanges := attempt.transcript.exchanges:
            self._count(attempt.transcript)
            self._tries[_result(sent)].observe(exchanges[-1].elapsed_ms / 1000)
        if self._spans is not None:
            self._spans.attempted(attempt, sent)
        if self._activity is not None:
            content, account = attempt.content, attempt.account
            key = (account.tenant_id, account.account_id)
            self._activity.attempted(
                key, content.message_id, content.traceparent, attempt.transcript
            )

    def limited(self, key: Key) -> None:
        """Due mail of an account found its limits used up."""
        self._tally.add(meters.RATE_LIMITED, key)

    def settled(self, batch: Sequence[Settlement]) -> None:
        """Outcomes were written."""
        now = datetime.now(UTC)
        for claimed, outcome, _, _, _, origin in batch:
            key = (claimed.tenant_id, claimed.account_id)
            if key not in self._seen:
                self._begin(key)
            meter = _METERS.get(outcome.event)
            if meter is not None:
                self._tally.add(meter, key)
            if outcome.reason is Reason.RATE_LIMITED:
                self._tally.add(meters.RATE_LIMITED, key)
            if self._activity is not None:
                self._tell(self._activity, claimed, outcome, origin)
            if outcome.event is Event.SENT and origin is not None:
                waited = (now - origin.since).total_seconds()
                self._waits[claimed.priority].observe(max(waited, 0.0))

    def refused(self, tenant_ids: Sequence[UUID]) -> None:
        """Rows of these tenants' outboxes were refused, which belong to no account."""
        for tenant_id in tenant_ids:
            self._tally.add(meters.ERRORS, (tenant_id, ""))

    def rescued(self, batch: Sequence[Settlement]) -> None:
        """Attempts were cut off by the death of their dispatcher."""
        if self._spans is not None:
            self._spans.rescued(batch)

    async def write(self) -> None:
        """Publish what was counted."""
        replies, self._replies = self._replies, Counter()
        for (code, stage), count in replies.items():
            meters.REPLIES.labels(f"{code}xx" if code else "fault", stage.value).inc(count)
        for pending in (*self._waits.values(), *self._tries.values()):
            pending.write()
        await self._tally.write()

    def _tell(
        self, activity: Activity, row: Claimed, outcome: Outcome, origin: Origin | None
    ) -> None:
        traceparent = origin.traceparent if origin else None
        key, attempt = (row.tenant_id, row.account_id), row.attempts + 1
        activity.settled(key, row.message_id, traceparent, row.recipient, attempt, outcome)

    def _begin(self, key: Key) -> None:
        """Show an account's counts from 0 on, so that the first of each can be seen to rise."""
        self._seen.add(key)
        for meter in (*_METERS.values(), meters.RATE_LIMITED):
            self._tally.add(meter, key, 0)

    def _count(self, transcript: Transcript) -> None:
        for exchange in transcript.exchanges:
            answer = exchange.answer
            code = answer.code // 100 if isinstance(answer, Reply) else 0
            self._replies[code, exchange.stage] += 1


def _result(sent: Sent) -> str:
    deferred = bool(sent.returned)
    for each in sent.settlements:
        event = each.outcome.event
        if event is Event.SENT:
            return "sent"
        deferred = deferred or event is Event.DEFERRED
    return "deferred" if deferred else "failed"
