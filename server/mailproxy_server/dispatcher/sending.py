"""From a claimed parcel to what came of it: outcomes to settle, or deliveries to give back."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mailproxy_server.content.codec import restore
from mailproxy_server.content.compose import Composed, compose
from mailproxy_server.dispatcher.parcels import Parcel
from mailproxy_server.dispatcher.permit import Permit
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.envelope import Envelope
from mailproxy_server.mail.transcript import Fault, Transcript
from mailproxy_server.policy.classify import Verdict, classify
from mailproxy_server.policy.retry import RetryPolicy, innocent, settle_verdict
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.contents import Content
from mailproxy_server.queue.settle import Settlement

LARGE_OCTETS = 256 * 1024
"""Above this a message is composed in a thread, so that the loop goes on meanwhile."""

Lease = Callable[[], Fault | None]
"""Whether a final dot may leave now."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one parcel.

    `returned` go back to the queue untouched: the account is to blame, and nothing was tried.
    `verdicts` are what the relay's account is judged by, `detail` our own words about a fault.
    """

    settlements: Sequence[Settlement] = ()
    returned: Sequence[Claimed] = ()
    verdicts: Sequence[Verdict] = ()
    detail: str = ""

    @property
    def deliveries(self) -> int:
        """How many deliveries it speaks of."""
        return len(self.settlements) + len(self.returned)


def ended(rows: Sequence[Claimed], outcome: Outcome) -> Sent:
    """End deliveries for which nothing was tried."""
    return Sent([Settlement(row, outcome, attempted=False) for row in rows])


def faulty(parcel: Parcel, policy: RetryPolicy) -> Sent:
    """Settle a parcel that a bug of ours stopped: it comes back later and stops nothing.

    What the relay got is not known, and the bug is likely still there: the usual wait, no less.
    """
    return Sent([Settlement(row, _faulty(row, parcel, policy)) for row in parcel.claimed])


async def send(parcel: Parcel, route: Route, lease: Lease) -> Sent:
    """Send one parcel, its content loaded; give what came of each of its recipients."""
    content, rows = parcel.content, parcel.claimed
    started = datetime.now(UTC)
    if rows[0].expire_at and rows[0].expire_at <= started:
        return ended(rows, Outcome.expired())
    composed = await _compose(content)
    if route.account.capture:
        return Sent([Settlement(row, Outcome.captured()) for row in rows])
    recipients = tuple(row.recipient for row in rows)
    permit = Permit(lease, parcel.reserved)
    transcript = await route.pool.send(
        Envelope(content.return_path, recipients),
        composed.octets,
        eight_bit=composed.eight_bit,
        utf8_headers=composed.utf8_headers,
        envelope_id=content.message_id.hex,
        permit=permit,
    )
    verdicts = classify(transcript, recipients)
    if all(map(innocent, verdicts)):
        return Sent(returned=rows, verdicts=verdicts, detail=transcript.trouble)
    mail_at = permit.mail_at
    if mail_at is None and transcript.mail_sent_ms is not None:
        mail_at = started + timedelta(milliseconds=transcript.mail_sent_ms)
    judged = _settlements(parcel, transcript, verdicts, route.account.retry, mail_at)
    return Sent(judged, verdicts=verdicts, detail=transcript.trouble)


def _settlements(
    parcel: Parcel,
    transcript: Transcript,
    verdicts: tuple[Verdict, ...],
    policy: RetryPolicy,
    mail_at: datetime | None,
) -> list[Settlement]:
    now, content = datetime.now(UTC), parcel.content
    first, expire_at = parcel.claimed[0], parcel.claimed[0].expire_at
    since = first.round_at or max(content.accepted_at, content.send_at or content.accepted_at)
    jitter = random.uniform(-1, 1)  # noqa: S311 - spreads retries, guards nothing
    settlements = []
    for number, (row, verdict) in enumerate(zip(parcel.claimed, verdicts, strict=True)):
        outcome = settle_verdict(
            verdict,
            attempt=row.attempts + 1,
            age=(now - since).total_seconds(),
            policy=policy,
            jitter=jitter,
            expires_in=(expire_at - now).total_seconds() if expire_at else None,
            spared=row.spared,
            at_most_once=content.at_most_once,
        )
        part = _part(transcript, number) if len(parcel.claimed) > 1 else transcript
        settlements.append(Settlement(row, outcome, True, part, mail_at))
    return settlements


def _part(transcript: Transcript, number: int) -> Transcript:
    """Give what one recipient's dialogue was: the replies to other RCPTs are left out."""
    mine = tuple(e for e in transcript.exchanges if e.recipient_no in (None, number))
    return replace(transcript, exchanges=mine)


def _faulty(row: Claimed, parcel: Parcel, policy: RetryPolicy) -> Outcome:
    if parcel.content.at_most_once:
        return Outcome.failed(Reason.OUTCOME_UNKNOWN, possible_duplicate=True)
    wait = policy.delay(row.attempts + 1, 0.0)
    return Outcome.deferred(Reason.INTERRUPTED, wait, possible_duplicate=True)


async def _compose(content: Content) -> Composed:
    if content.octets > LARGE_OCTETS:
        return await asyncio.to_thread(_composed, content)
    return _composed(content)


def _composed(content: Content) -> Composed:
    assert content.content is not None, "who sends has loaded the content"
    date = max(content.accepted_at, content.send_at or content.accepted_at)
    return compose(restore(content.content), message_id=str(content.message_id), date=date)
