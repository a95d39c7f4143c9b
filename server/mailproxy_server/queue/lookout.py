"""Looking for accounts that have anything to send."""

from uuid import UUID

from mailproxy_server.queue.hot import Connection

_WAITING = """
SELECT a.tenant_id, a.account_id FROM mailproxy.accounts a
CROSS JOIN LATERAL (
    SELECT 1 FROM mailproxy.deliveries d
    WHERE d.tenant_id = a.tenant_id AND d.account_id = a.account_id AND d.worker_id IS NULL
      AND NOT d.held LIMIT 1
) d
"""


async def waiting(link: Connection) -> list[tuple[UUID, str]]:
    """Give the accounts, deleted ones too, that have an unclaimed delivery, due or not.

    Takes no lock; one probe of deliveries_due an account.
    """
    return [(row[0], row[1]) for row in await link.fetch(_WAITING)]
