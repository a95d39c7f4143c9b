"""What a row of the outbox stands for: a message to queue, or why it cannot be one.

Checked as any submission is, as of the time at which the application wrote it: a mail that
expired while nobody moved it ends EXPIRED, and is not refused.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from uuid import UUID

from mailproxy_server.content.fingerprint import differing, unpack
from mailproxy_server.content.submission import check, read_json
from mailproxy_server.mail.errors import InvalidFields, invalid
from mailproxy_server.queue import outbox
from mailproxy_server.queue.enqueue import Known, NewMessage, Taken
from mailproxy_server.queue.hot import Connection
from mailproxy_server.queue.ids import uuid7_in_order
from mailproxy_server.queue.outbox import Refused, Waiting

RECIPIENTS = 2000
"""Of a batch: what one INSERT of deliveries does well within a statement's timeout."""
_BREATH = 20
"""Rows that are judged before the lanes have a turn."""

Bug = Callable[[UUID, Exception], None]
"""Told of a row that could not be judged by a fault of ours, under its report's message id."""


@dataclass(slots=True)
class Judged:
    """What became of the first rows of a batch."""

    rows: list[Waiting] = field(default_factory=list)
    accepted: list[tuple[int, NewMessage]] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)


class Judge:
    """Judges emails of up to `largest` octets by the tenants and accounts that `link` reads."""

    def __init__(self, link: Connection, largest: int, bug: Bug) -> None:
        self._link = link
        self._tenants: dict[str, UUID] = {}
        self._largest = largest
        self._bug = bug

    async def all(self, rows: Sequence[Waiting]) -> Judged:
        """Judge rows in their order, until they have as many recipients as a batch may."""
        self._tenants = await outbox.tenants(self._link, {row.tenant for row in rows})
        judged, recipients = Judged(), 0
        for row in rows:
            if len(judged.rows) % _BREATH == _BREATH - 1:
                await asyncio.sleep(0)
            judged.rows.append(row)
            one = self.one(row)
            if isinstance(one, Refused):
                judged.refused.append(one)
                continue
            judged.accepted.append((row.outbox_id, one))
            recipients += len(one.recipients)
            if recipients >= RECIPIENTS:
                break
        await self._resolve(judged)
        judged.accepted.sort(key=lambda each: (each[1].tenant_id.bytes, each[1].request_id or ""))
        return judged

    async def _resolve(self, judged: Judged) -> None:
        """Name the accounts that were meant; refuse what means none."""
        asked = {(message.tenant_id, message.account_id) for _, message in judged.accepted}
        known = await outbox.accounts(self._link, asked) if asked else {}
        accepted, judged.accepted = judged.accepted, []
        for outbox_id, message in accepted:
            key = message.tenant_id, message.account_id
            if key in known:
                judged.accepted.append((outbox_id, replace(message, account_id=known[key])))
                continue
            words = f"the tenant has no account {key[1]}" if key[1] else "no account is the default"
            judged.refused.append(
                Refused(outbox_id, key[0], message.message_id, "email.account_id", words)
            )

    def one(self, row: Waiting) -> NewMessage | Refused:
        """Give the message that a row stands for, or what is wrong with it."""
        tenant_id = self._tenants.get(row.tenant)
        if tenant_id is None:
            return Refused(row.outbox_id, None, new_id(), "tenant", "there is no such tenant")
        try:
            return self._message(row, tenant_id)
        except InvalidFields as error:
            fault, more = error.violations[0], len(error.violations) - 1
            words = fault.description + (f" (and {more} more)" if more else "")
            return Refused(row.outbox_id, tenant_id, new_id(), fault.field, words)
        except Exception as error:  # a fault of ours with one row must not stop all others
            refused = unforeseen(row, tenant_id, error)
            self._bug(refused.message_id, error)
            return refused

    def _message(self, row: Waiting, tenant_id: UUID) -> NewMessage:
        if row.email is None:
            raise self._too_large()
        request = read_json(row.email, row.request_id, row.traceparent)
        if request.email.ByteSize() > self._largest:
            raise self._too_large()
        written_at = min(row.created_at, datetime.now(UTC))
        admitted = check(request, written_at)
        return NewMessage(
            tenant_id=tenant_id,
            message_id=new_id(),
            account_id=admitted.account_id,
            request_id=row.request_id or None,
            traceparent=row.traceparent or None,
            **admitted.queued(written_at),
        )

    def _too_large(self) -> InvalidFields:
        words = f"is larger than {self._largest} bytes (MAILPROXY_MAX_MESSAGE_BYTES)"
        return invalid("email", words)


def unforeseen(row: Waiting, tenant_id: UUID | None, error: Exception) -> Refused:
    """Give the refusal of a row that failed by a fault of ours."""
    words = f"could not be queued ({type(error).__name__}); the server's log says more"
    return Refused(row.outbox_id, tenant_id, new_id(), "email", words)


def reused(accepted: Sequence[tuple[int, NewMessage]], taken: Sequence[Taken]) -> list[Refused]:
    """Give the rows whose request_id made another message before; the same one is queued once."""
    refused = []
    for (outbox_id, message), answer in zip(accepted, taken, strict=True):
        if isinstance(answer, Known):
            fields = differing(unpack(answer.digests), unpack(message.digests))
            if fields:
                words = f"was used before, for message {answer.message_id}, with other "
                words += ", ".join(f"email.{name}" for name in fields)
                id_, tenant_id = message.message_id, message.tenant_id
                refused.append(Refused(outbox_id, tenant_id, id_, "request_id", words))
    return refused


def new_id() -> UUID:
    """Give the id of a new message."""
    return uuid7_in_order(time.time_ns(), os.urandom(8))
