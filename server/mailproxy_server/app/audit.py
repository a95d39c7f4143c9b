"""Auditing limits against the report log, on the database that a run uses or has used."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from mailproxy_server.app.reading import connected
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.policy.sliding import Fullest, Sliding
from mailproxy_server.policy.windows import Limit, Unit
from mailproxy_server.queue import audit
from mailproxy_server.settings import Settings


@dataclass(frozen=True, slots=True)
class Finding:
    """One limit, and the fullest of its windows."""

    limit: Limit
    fullest: Fullest

    @property
    def exceeded(self) -> bool:
        """Whether more left in that window than the limit allows."""
        return self.fullest.count > self.limit.count


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found for the accounts that share these limits, and how much that covers."""

    account_ids: Sequence[str]
    findings: Sequence[Finding]
    recipients: int
    messages: int


async def limits(
    settings: Settings,
    tenant: str,
    account_id: str,
    since: datetime,
    instead: Sequence[Limit] = (),
) -> Audit:
    """Slide every limit's window over all that left from `since` on.

    The limits are those that the account has now, or those given `instead`. Raises Refusal when
    there is no such account, or the database cannot be used.
    """
    async with connected(settings) as link:
        found = await audit.audited(link, tenant, account_id)
        if found is None:
            raise Refusal(f"the tenant {tenant!r} has no account {account_id!r}")
        slides = [(limit, Sliding(limit.window)) for limit in instead or found.limits]
        recipients = messages = 0
        async for mail in audit.mails(link, found.tenant_id, found.account_ids, since):
            recipients += mail.recipients
            messages += mail.messages
            for limit, slide in slides:
                by_recipients = limit.unit is Unit.RECIPIENTS
                slide.add(mail.at, mail.recipients if by_recipients else mail.messages)
    findings = [Finding(limit, slide.fullest) for limit, slide in slides]
    return Audit(found.account_ids, findings, recipients, messages)
