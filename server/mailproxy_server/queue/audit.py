"""Auditing: what left by an account, as the report log has it.

Reads with a server-side cursor, so that a large log takes no memory here; the server sorts it.
"""

import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.policy.windows import LEAST_HOLD, Limit, Unit
from mailproxy_server.queue.hot import Connection

_PREFETCH = 5000


@dataclass(frozen=True, slots=True)
class Audited:
    """An account, its limits as they are now, and all accounts that share them."""

    tenant_id: UUID
    account_ids: tuple[str, ...]
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Mail:
    """What left at one instant: transactions, and recipients named in them."""

    at: datetime
    recipients: int
    messages: int


async def audited(link: Connection, tenant: str, account_id: str) -> Audited | None:
    """Find an account, also a deleted one, of the tenant of this name; None when there is none.

    Takes no lock; relies on the tenants' names and the accounts' primary key.
    """
    row = await link.fetchrow(
        """SELECT a.tenant_id, a.limits, ARRAY(
               SELECT b.account_id FROM mailproxy.accounts b
               WHERE b.tenant_id = a.tenant_id AND (b.account_id = a.account_id
                     OR a.rate_group <> '' AND b.rate_group = a.rate_group)
               ORDER BY b.account_id) AS account_ids
           FROM mailproxy.tenants t JOIN mailproxy.accounts a ON a.tenant_id = t.tenant_id
           WHERE t.name = $1 AND a.account_id = $2""",
        tenant,
        account_id,
    )
    if row is None:
        return None
    limits = (
        Limit(each["count"], each["window"], Unit(each["unit"]))
        for each in json.loads(row["limits"])
    )
    return Audited(row["tenant_id"], tuple(row["account_ids"]), tuple(limits))


async def mails(
    link: Connection, tenant_id: UUID, account_ids: Sequence[str], since: datetime
) -> AsyncIterator[Mail]:
    """Give all MAILs of these accounts from `since` on, in the order in which they left.

    Of an interrupted attempt nobody knows when MAIL left, or whether it did: its reservation's
    time stands for it, and recipients whose times are within one tenth of a second for one
    transaction. Takes no lock; reads the days of the report log from an hour before `since` on,
    as a report is written after its MAIL.
    """
    async with link.transaction(readonly=True):
        cursor = link.cursor(
            f"""SELECT mail_at, count(*), count(*) FILTER (WHERE place = 1)
                FROM (SELECT mail_at, row_number() OVER (
                          PARTITION BY message_id, CASE WHEN reason = {Reason.INTERRUPTED}
                              THEN date_bin('{LEAST_HOLD} s', mail_at, '2000-01-01 00:00Z')
                              ELSE mail_at END
                          ORDER BY mail_at) AS place
                      FROM mailproxy.report_log
                      WHERE tenant_id = $1 AND account_id = ANY($2) AND mail_at >= $3
                        AND reported_at >= $3::timestamptz - interval '1 hour') mails
                GROUP BY mail_at ORDER BY mail_at""",  # noqa: S608 - no input is in the text
            tenant_id,
            account_ids,
            since,
            prefetch=_PREFETCH,
        )
        async for row in cursor:
            yield Mail(*row)
