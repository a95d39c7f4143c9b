"""Bringing failed and expired deliveries back to the queue: a new round of the same bytes.

Under the lock of the tenant's head, under which every outcome is appended: so what is read
after it is how things stand, and two that do this at once bring nothing back twice.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from mailproxy_server.mail.delivery import TRANSITIONS, Event, State
from mailproxy_server.queue.append import appended, same
from mailproxy_server.queue.hot import Connection

_FROM = sorted(int(Event[state.name]) for state, event in TRANSITIONS if event is Event.REQUEUED)
"""Events of the states that a requeue leads out of: each bears its state's name."""
assert all(State[Event(each).name].final for each in _FROM)

_OVER = f"""
SELECT o.recipient_no, o.recipient, o.claim_no, o.possible_duplicate, o.goal, EXISTS (
    SELECT 1 FROM mailproxy.accounts a
    WHERE a.tenant_id = $1 AND a.account_id = o.goal AND a.deleted_at IS NULL)
FROM (SELECT n.*, CASE WHEN n.possible_duplicate THEN n.account_id ELSE m.account_id END AS goal
      FROM (SELECT DISTINCT ON (r.recipient_no) r.* FROM mailproxy.report_log r
            WHERE r.tenant_id = $1 AND r.message_id = $2 AND r.reported_at >= $3
            ORDER BY r.recipient_no, r.log_offset DESC) n
      JOIN mailproxy.messages m ON m.tenant_id = $1 AND m.message_id = $2
      WHERE n.event = ANY('{{{",".join(map(str, _FROM))}}}')
        AND (cardinality($4::text[]) = 0 OR n.recipient = ANY($4))) o
ORDER BY o.recipient_no
"""  # noqa: S608 - no input is in the text

_COLUMNS = {
    **same("message_id", "recipient_no", "account_id", "recipient", "claim_no"),
    "event": f"{int(Event.REQUEUED)}",
    "reason": "0",
    "attempt": "0",
    "possible_duplicate": "e.doubtful",
}
_BACK = f"""
WITH back AS (
    INSERT INTO mailproxy.deliveries AS d (tenant_id, message_id, recipient_no, account_id,
        recipient, priority, due_at, claim_no, doubtful, expire_at, round_at, held)
    SELECT m.tenant_id, m.message_id, o.recipient_no, o.account_id, o.recipient, m.priority, now(),
        o.claim_no, o.doubtful, $3, now(),
        m.labels IS NOT NULL AND EXISTS (
          SELECT 1 FROM mailproxy.pauses p
          WHERE p.tenant_id = m.tenant_id AND p.account_id IN ('', o.account_id)
            AND p.labels <> '{{}}' AND m.labels @> p.labels)
    FROM unnest($4::smallint[], $5::text[], $6::integer[], $7::boolean[], $8::text[])
      AS o(recipient_no, recipient, claim_no, doubtful, account_id)
    JOIN mailproxy.messages m ON m.tenant_id = $1 AND m.message_id = $2
    RETURNING d.*
), events AS MATERIALIZED (
    SELECT * FROM back
), {appended(_COLUMNS, "e.recipient_no")}"""  # noqa: S608 - no input is in the text

LOCK_HEAD = "SELECT 1 FROM mailproxy.report_heads WHERE tenant_id = $1 FOR NO KEY UPDATE"
_LOCK_MESSAGE = """
SELECT octet_length(content) > 0 FROM mailproxy.messages
WHERE tenant_id = $1 AND message_id = $2 FOR NO KEY UPDATE
"""
_FOLLOW = """
UPDATE mailproxy.messages
SET expire_at = (SELECT min(expire_at) FROM mailproxy.deliveries
                 WHERE tenant_id = $1 AND message_id = $2)
WHERE tenant_id = $1 AND message_id = $2
"""


class ContentGone(LookupError):
    """The message's content is no longer kept, or there is no such message."""


class AccountGone(LookupError):
    """The account that would send the message was deleted."""

    def __init__(self, account_id: str):
        super().__init__(account_id)
        self.account_id = account_id


async def requeue(
    link: Connection,
    tenant_id: UUID,
    message_id: UUID,
    since: datetime,
    recipients: Sequence[str],
    expire_at: datetime | None,
    lock_head: str = LOCK_HEAD,
) -> list[str]:
    """Bring back the failed and expired of a message's recipients (none named: all of them);
    give the account of each.

    `since` is before the message's first report. Attempts are counted anew, claims go on. Each
    goes by the message's account; one that may have been delivered by a fallback goes by that one
    again, so that nothing goes out by two. One transaction, which locks the tenant's head in a
    statement of its own, then the message (retention must not empty it meanwhile); reads
    report_log_message of its days. Raises `ContentGone`, `AccountGone`. `lock_head` is another
    statement in a test that shows what it is good for.
    """
    key = tenant_id, message_id
    async with link.transaction():
        await link.execute(lock_head, tenant_id)
        if not await link.fetchval(_LOCK_MESSAGE, *key):
            raise ContentGone(message_id)
        over = [tuple(row) for row in await link.fetch(_OVER, *key, since, list(recipients))]
        for *_, account_id, live in over:
            if not live:
                raise AccountGone(account_id)
        if over:
            numbers, names, claim_nos, doubts, goals, _ = map(list, zip(*over, strict=True))
            await link.execute(_BACK, *key, expire_at, numbers, names, claim_nos, doubts, goals)
            await link.execute(_FOLLOW, *key)
    return [row[4] for row in over]
