"""From a claimed parcel to the settlements of its recipients."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mailproxy_server.content.codec import restore
from mailproxy_server.content.compose import Composed, compose
from mailproxy_server.dispatcher.parcels import Parcel
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.envelope import Envelope
from mailproxy_server.mail.transcript import Fault, Transcript
from mailproxy_server.policy.classify import Verdict, classify
from mailproxy_server.policy.retry import RetryPolicy, settle_verdict
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.contents import Content
from mailproxy_server.queue.settle import Settlement

LARGE_OCTETS = 256 * 1024
"""Above this a message is composed in a thread, so that the loop goes on meanwhile."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a send is subject to: retries, and whether a final dot may leave now."""

    retry: RetryPolicy
    may_dot: Callable[[], Fault | None]


def account_deleted(rows: Sequence[Claimed]) -> list[Settlement]:
    """Settle deliveries whose account is gone."""
    outcome = Outcome.failed(Reason.ACCOUNT_DELETED)
    return [Settlement(row, outcome, attempted=False) for row in rows]


def faulty(parcel: Parcel) -> list[Settlement]:
    """Settle a parcel that a bug of ours stopped: it comes back later and stops nothing.

    What the relay got is not known, and the bug is likely still there: the usual wait, no less.
    """
    delay = RetryPolicy().delay
    return [
        Settlement(
            row,
            Outcome.deferred(
                Reason.INTERRUPTED, delay(row.attempts + 1, 0.0), possible_duplicate=True
            ),
        )
        for row in parcel.claimed
    ]


async def send(parcel: Parcel, route: Route, terms: Terms) -> list[Settlement]:
    """Send one parcel, its content loaded, and give an outcome for each of its recipients."""
    content = parcel.content
    started = datetime.now(UTC)
    if content.expire_at and content.expire_at <= started:
        return [Settlement(row, Outcome.expired(), attempted=False) for row in parcel.claimed]
    composed = await _compose(content)
    recipients = tuple(row.recipient for row in parcel.claimed)
    transcript = await route.pool.send(
        Envelope(content.return_path, recipients),
        composed.octets,
        eight_bit=composed.eight_bit,
        utf8_headers=composed.utf8_headers,
        envelope_id=content.message_id.hex,
        may_dot=terms.may_dot,
    )
    verdicts = classify(transcript, recipients)
    return _settlements(parcel, transcript, verdicts, started, terms.retry)


def _settlements(
    parcel: Parcel,
    transcript: Transcript,
    verdicts: tuple[Verdict, ...],
    started: datetime,
    policy: RetryPolicy,
) -> list[Settlement]:
    now, content = datetime.now(UTC), parcel.content
    since = max(content.accepted_at, content.send_at or content.accepted_at)
    expires_in = (content.expire_at - now).total_seconds() if content.expire_at else None
    mail_at = None
    if transcript.mail_sent_ms is not None:
        mail_at = started + timedelta(milliseconds=transcript.mail_sent_ms)
    jitter = random.uniform(-1, 1)  # noqa: S311 - spreads retries, guards nothing
    settlements = []
    for number, (row, verdict) in enumerate(zip(parcel.claimed, verdicts, strict=True)):
        outcome = settle_verdict(
            verdict,
            attempt=row.attempts + 1,
            age=(now - since).total_seconds(),
            policy=policy,
            jitter=jitter,
            expires_in=expires_in,
        )
        part = _part(transcript, number) if len(parcel.claimed) > 1 else transcript
        settlements.append(Settlement(row, outcome, True, part, mail_at))
    return settlements


def _part(transcript: Transcript, number: int) -> Transcript:
    """Give what one recipient's dialogue was: the replies to other RCPTs are left out."""
    mine = tuple(e for e in transcript.exchanges if e.recipient_no in (None, number))
    return replace(transcript, exchanges=mine)


async def _compose(content: Content) -> Composed:
    if content.octets > LARGE_OCTETS:
        return await asyncio.to_thread(_composed, content)
    return _composed(content)


def _composed(content: Content) -> Composed:
    assert content.content is not None, "who sends has loaded the content"
    date = max(content.accepted_at, content.send_at or content.accepted_at)
    return compose(restore(content.content), message_id=str(content.message_id), date=date)
