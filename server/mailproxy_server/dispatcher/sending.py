"""From a claimed parcel to what came of it: outcomes to settle, or deliveries to give back."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mailproxy_server.accounts.account import Account
from mailproxy_server.content.sources.source import Unfetchable
from mailproxy_server.dispatcher.body import StreamedBody
from mailproxy_server.dispatcher.making import make
from mailproxy_server.dispatcher.parcels import Parcel
from mailproxy_server.dispatcher.permit import Permit
from mailproxy_server.dispatcher.relays import Route
from mailproxy_server.dispatcher.shelf import Shelf
from mailproxy_server.mail.delivery import Outcome, Reason
from mailproxy_server.mail.envelope import Envelope
from mailproxy_server.mail.transcript import Fault, FaultKind, Transcript
from mailproxy_server.policy.classify import Kind, Scope, Verdict, classify
from mailproxy_server.policy.retry import RetryPolicy, innocent, settle_verdict
from mailproxy_server.queue.claim import Claimed
from mailproxy_server.queue.contents import Content, Origin
from mailproxy_server.queue.settle import Settlement

LATE_MOST = 4
"""Made messages of an account that wait in memory for room in its limits."""

Lease = Callable[[], Fault | None]
"""Whether a final dot may leave now."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """One transaction that was tried: of which message, when it began, when a connection was asked
    for, and the dialogue."""

    content: Content
    account: Account
    rows: Sequence[Claimed]
    began: datetime
    asked: datetime
    transcript: Transcript


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of one parcel.

    `returned` go back to the queue untouched: the account is to blame, and nothing was tried.
    `verdicts` are what the relay's account is judged by, `attempt` is what was tried,
    where anything was.
    """

    settlements: Sequence[Settlement] = ()
    returned: Sequence[Claimed] = ()
    verdicts: Sequence[Verdict] = ()
    attempt: Attempt | None = None

    @property
    def detail(self) -> str:
        """Our own words about a fault; "" without one."""
        return self.attempt.transcript.trouble if self.attempt else ""

    @property
    def deliveries(self) -> int:
        """How many deliveries it speaks of."""
        return len(self.settlements) + len(self.returned)


def ended(rows: Sequence[Claimed], outcome: Outcome, origin: Origin | None = None) -> Sent:
    """End deliveries for which nothing was tried."""
    return Sent([Settlement(row, outcome, attempted=False, origin=origin) for row in rows])


def faulty(rows: Sequence[Claimed], content: Content, policy: RetryPolicy) -> Sent:
    """Settle deliveries that a bug of ours stopped: they come back later and stop nothing.

    What the relay got is not known, and the bug is likely still there: the usual wait, no less.
    """
    return Sent(
        [Settlement(row, _faulty(row, content, policy), origin=content.origin) for row in rows]
    )


def unavailable(
    rows: Sequence[Claimed], content: Content, policy: RetryPolicy, error: Unfetchable
) -> Sent:
    """Settle deliveries whose message names a file that cannot be had: an attempt that failed."""
    kind = Kind.TRANSIENT if error.passing else Kind.PERMANENT
    verdict = Verdict(kind, Scope.CONTENT, Reason.ATTACHMENT_UNAVAILABLE)
    outcomes = _outcomes(rows, content, (verdict,) * len(rows), policy)
    said = [replace(outcome, detail=str(error)) for outcome in outcomes]
    origin = content.origin
    return Sent([Settlement(*pair, origin=origin) for pair in zip(rows, said, strict=True)])


async def send(parcel: Parcel, route: Route, lease: Lease, shelf: Shelf) -> Sent:
    """Send one parcel, its content loaded; give what came of each of its recipients."""
    content, rows = parcel.content, parcel.claimed
    started = datetime.now(UTC)
    if rows[0].expire_at and rows[0].expire_at <= started:
        return ended(rows, Outcome.expired(), content.origin)
    made = route.late.pop(content.message_id, None) or await make(content, route, shelf)
    if made is None:
        return Sent(returned=rows)
    if route.account.capture:
        captured = Outcome.captured()
        return Sent([Settlement(row, captured, origin=content.origin) for row in rows])
    recipients = tuple(row.recipient for row in rows)
    permit, asked = Permit(lease, parcel.reserved), datetime.now(UTC)
    transcript = await route.pool.send(
        Envelope(content.return_path, recipients),
        made.body,
        eight_bit=made.eight_bit,
        utf8_headers=made.utf8_headers,
        envelope_id=content.message_id.hex,
        permit=permit,
    )
    if isinstance(made.body, StreamedBody) and made.body.lost is not None:
        await shelf.lost(route.account.tenant_id, content, made.body.lost)
    attempt = Attempt(content, route.account, rows, started, asked, transcript)
    verdicts = classify(transcript, recipients)
    if _was_late(transcript) and len(route.late) < LATE_MOST:
        route.late[content.message_id] = made  # or what takes long to make would be late for ever
    if all(map(innocent, verdicts)):
        return Sent(returned=rows, verdicts=verdicts, attempt=attempt)
    mail_at = permit.mail_at
    if mail_at is None and transcript.mail_sent_ms is not None:
        mail_at = asked + timedelta(milliseconds=transcript.mail_sent_ms)
    judged = _settlements(parcel, transcript, verdicts, route.account.retry, mail_at)
    return Sent(judged, verdicts=verdicts, attempt=attempt)


def _settlements(
    parcel: Parcel,
    transcript: Transcript,
    verdicts: tuple[Verdict, ...],
    policy: RetryPolicy,
    mail_at: datetime | None,
) -> list[Settlement]:
    outcomes = _outcomes(parcel.claimed, parcel.content, verdicts, policy)
    settlements = []
    origin = parcel.content.origin
    for number, (row, outcome) in enumerate(zip(parcel.claimed, outcomes, strict=True)):
        part = _part(transcript, number) if len(parcel.claimed) > 1 else transcript
        settlements.append(Settlement(row, outcome, True, part, mail_at, origin))
    return settlements


def _outcomes(
    rows: Sequence[Claimed], content: Content, verdicts: Sequence[Verdict], policy: RetryPolicy
) -> list[Outcome]:
    """Give what the verdicts come to for deliveries of one message."""
    now = datetime.now(UTC)
    jitter = random.uniform(-1, 1)  # noqa: S311 - spreads retries, guards nothing
    return [
        settle_verdict(
            verdict,
            attempt=row.attempts + 1,
            age=(now - (row.round_at or content.since)).total_seconds(),
            policy=policy,
            jitter=jitter,
            expires_in=(row.expire_at - now).total_seconds() if row.expire_at else None,
            spared=row.spared,
            at_most_once=content.at_most_once,
        )
        for row, verdict in zip(rows, verdicts, strict=True)
    ]


def _was_late(transcript: Transcript) -> bool:
    """Whether the room reserved in the limits was gone before MAIL."""
    last = transcript.exchanges[-1].answer if transcript.exchanges else None
    return isinstance(last, Fault) and last.kind is FaultKind.LATE


def _part(transcript: Transcript, number: int) -> Transcript:
    """Give what one recipient's dialogue was: the replies to other RCPTs are left out."""
    mine = tuple(e for e in transcript.exchanges if e.recipient_no in (None, number))
    return replace(transcript, exchanges=mine)


def _faulty(row: Claimed, content: Content, policy: RetryPolicy) -> Outcome:
    if content.at_most_once:
        return Outcome.failed(Reason.OUTCOME_UNKNOWN, possible_duplicate=True)
    wait = policy.delay(row.attempts + 1, 0.0)
    return Outcome.deferred(Reason.INTERRUPTED, wait, possible_duplicate=True)
