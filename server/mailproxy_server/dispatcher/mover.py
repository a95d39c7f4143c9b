"""The mover: takes what applications have committed to the outbox into the queue.

In one short transaction a row is locked, checked as any submission is, queued and removed, so
it is queued exactly once. Nothing of ours is locked while an application's transaction is open:
its rows are not seen before it commits.
"""

import asyncio
import os
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from mailproxy_server.content.fingerprint import differing, unpack
from mailproxy_server.content.submission import check, read_json
from mailproxy_server.mail.errors import FieldViolation, InvalidFields, Unavailable
from mailproxy_server.queue import enqueue, outbox
from mailproxy_server.queue.enqueue import Known, NewMessage, Taken
from mailproxy_server.queue.hot import Connection, Pool
from mailproxy_server.queue.hot import connection as borrowed
from mailproxy_server.queue.ids import uuid7_in_order
from mailproxy_server.queue.outbox import Refused, Waiting

BATCH = 500
_RETRY_SECONDS = 0.5

Moved = Callable[[Collection[str], Collection[str]], None]
"""Told after a commit: the accounts ("tenant/account") that got mail, the tenants with reports."""


class Mover:
    """Moves rows of up to `largest` octets; looks every `poll_seconds` and when it is told."""

    def __init__(self, pool: Pool, largest: int, poll_seconds: float, moved: Moved) -> None:
        self._pool = pool
        self._largest = largest
        self._poll_seconds = poll_seconds
        self._moved = moved
        self._awake = asyncio.Event()

    def hint(self, _lines: Sequence[str]) -> None:
        """Rows were committed."""
        self._awake.set()

    async def run(self) -> None:
        """Move until cancelled; a database that is away is waited for."""
        while True:
            self._awake.clear()
            try:
                while await self.move():
                    pass
                pause = self._poll_seconds
            except (Unavailable, asyncpg.PostgresError):
                pause = _RETRY_SECONDS
            try:
                async with asyncio.timeout(pause):
                    await self._awake.wait()
            except TimeoutError:
                pass  # a plain INSERT tells nobody: this is the poll

    async def move(self) -> int:
        """Move one batch; give how many rows it was."""
        async with borrowed(self._pool) as link:
            if not await outbox.any_waiting(link):
                return 0
            try:
                return await self._move(link, None)
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError):
                return await self._move_apart(link)

    async def _move_apart(self, link: Connection) -> int:
        """One of the batch is not to the database's liking: each by itself, the others are fine."""
        async with link.transaction():
            ids = [row.outbox_id for row in await outbox.take(link, BATCH, 0)]
        for one in ids:
            try:
                await self._move(link, [one])
            except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
                words = f"the database does not take it ({type(error).__name__})"
                await outbox.refuse(link, [Refused(one, None, new_id(), "", words)])
        return len(ids)

    async def _move(self, link: Connection, only: Collection[int] | None) -> int:
        async with link.transaction():
            rows = await outbox.take(link, BATCH, self._largest, only)
            if not rows:
                return 0
            desk = await _Desk.read(link, rows)
            judged = [desk.judge(row) for row in rows]
            accepted = [one for one in judged if not isinstance(one, Refused)]
            accepted.sort(key=lambda one: (one[1].tenant_id.bytes, one[1].request_id or ""))
            taken = await enqueue.take(link, [message for _, message in accepted])
            refused = [one for one in judged if isinstance(one, Refused)]
            refused += _reused(accepted, taken)
            kept = {one.outbox_id for one in refused}
            await outbox.remove(link, [row.outbox_id for row in rows if row.outbox_id not in kept])
            if refused:
                await outbox.refuse(link, refused)
        lines = {f"{message.tenant_id}/{message.account_id}" for _, message in accepted}
        self._moved(lines, {str(one.tenant_id) for one in refused if one.tenant_id})
        return len(rows)


class _Desk:
    """Judges rows of one batch by the tenants and accounts that there are."""

    def __init__(self, tenants: dict[str, UUID], accounts: dict[tuple[UUID, str], str]) -> None:
        self._tenants = tenants
        self._accounts = accounts
        self._now = datetime.now(UTC)

    @classmethod
    async def read(cls, link: Connection, rows: Sequence[Waiting]) -> "_Desk":
        """Read what is needed for these rows."""
        tenants = await outbox.tenants(link, {row.tenant for row in rows})
        return cls(tenants, await outbox.accounts(link, list(tenants.values())))

    def judge(self, row: Waiting) -> tuple[int, NewMessage] | Refused:
        """Give the message that a row stands for, or what is wrong with it."""
        tenant_id = self._tenants.get(row.tenant)
        if tenant_id is None:
            return Refused(row.outbox_id, None, new_id(), "tenant", "there is no such tenant")
        try:
            return row.outbox_id, self._message(row, tenant_id)
        except InvalidFields as error:
            fault = error.violations[0]
            return Refused(row.outbox_id, tenant_id, new_id(), fault.field, fault.description)

    def _message(self, row: Waiting, tenant_id: UUID) -> NewMessage:
        if row.email is None:
            raise _invalid("email", "is larger than MAILPROXY_MAX_MESSAGE_BYTES permits")
        request = read_json(row.email, row.request_id, row.traceparent)
        admitted = check(request, self._now)
        account_id = self._accounts.get((tenant_id, admitted.account_id))
        if account_id is None:
            named = f"no account {admitted.account_id}" if admitted.account_id else "no default"
            raise _invalid("email.account_id", f"the tenant has {named} account")
        return NewMessage(
            tenant_id=tenant_id,
            message_id=new_id(),
            account_id=account_id,
            request_id=row.request_id or None,
            traceparent=row.traceparent,
            **admitted.queued(self._now),
        )


def _reused(accepted: Sequence[tuple[int, NewMessage]], taken: Sequence[Taken]) -> list[Refused]:
    """Give the rows whose request_id made another message before; the same one is queued once."""
    refused = []
    for (outbox_id, message), answer in zip(accepted, taken, strict=True):
        if isinstance(answer, Known):
            fields = differing(unpack(answer.digests), unpack(message.digests))
            if fields:
                words = f"was used before, for message {answer.message_id}, with other "
                words += ", ".join(f"email.{field}" for field in fields)
                id_, tenant_id = message.message_id, message.tenant_id
                refused.append(Refused(outbox_id, tenant_id, id_, "request_id", words))
    return refused


def new_id() -> UUID:
    """Give the id of a new message."""
    return uuid7_in_order(time.time_ns(), os.urandom(8))


def _invalid(field: str, description: str) -> InvalidFields:
    return InvalidFields([FieldViolation(field, description)])
