"""Which account a submission means, remembered for seconds so that a submit asks nothing.

Only what exists is remembered: an id that is not known is looked up each time, so that an
account can be used the moment it is made.
"""

import asyncio
import time
from collections.abc import Sequence
from uuid import UUID

from mailproxy_server.accounts.accounts import Accounts

TTL = 5.0
"""Seconds for which an account's existence is believed without asking again."""

Key = tuple[UUID, str]


class AccountCache:
    """Resolves account ids ("" is the default one) of tenants."""

    def __init__(self, accounts: Accounts, ttl: float = TTL):
        self._accounts = accounts
        self._ttl = ttl
        self._known: dict[Key, tuple[str, float]] = {}
        self._asking: dict[Key, asyncio.Task[str | None]] = {}

    def peek(self, tenant_id: UUID, account_id: str) -> str | None:
        """Give the account's id when it is remembered; asks nothing."""
        entry = self._known.get((tenant_id, account_id))
        if entry is not None and entry[1] > time.monotonic():
            return entry[0]
        return None

    async def resolve(self, tenant_id: UUID, account_id: str) -> str:
        """Give the id of the account; raises CallerError ACCOUNT_NOT_FOUND naming those there are.

        Callers that ask for the same one at the same time share one query.
        """
        known = self.peek(tenant_id, account_id)
        if known is None:
            known = await self._ask((tenant_id, account_id))
        if known is None:  # perhaps made after a shared query began: this one asks anew
            known = (await self._accounts.get(tenant_id, account_id)).account_id
            self._remember((tenant_id, account_id), known)
        return known

    async def endpoints(self, tenant_id: UUID, account_id: str) -> set[str]:
        """Give the names of an account's attachment endpoints; they are read anew each time."""
        account = await self._accounts.find(tenant_id, account_id)
        return {one.name for one in account.attachment_endpoints} if account else set()

    def changed(self, lines: Sequence[str]) -> None:
        """Accounts ("tenant/account") were said to have changed; none named: any may have."""
        if not lines:
            self._known.clear()
        for line in lines:
            self.invalidate(UUID(line.partition("/")[0]))

    def invalidate(self, tenant_id: UUID) -> None:
        """Forget all accounts of a tenant, for one of them changed."""
        for key in [key for key in self._known if key[0] == tenant_id]:
            del self._known[key]

    async def _ask(self, key: Key) -> str | None:
        task = self._asking.get(key)
        if task is None:
            task = asyncio.create_task(self._look_up(key))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, done))
        return await asyncio.shield(task)

    def _asked(self, key: Key, task: asyncio.Task[str | None]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # those who wait raise it; seen here too, should all have left

    async def _look_up(self, key: Key) -> str | None:
        account = await self._accounts.find(*key)
        if account is None:
            return None
        self._remember(key, account.account_id)
        return account.account_id

    def _remember(self, key: Key, account_id: str) -> None:
        self._known[key] = (account_id, time.monotonic() + self._ttl)
