"""Accounts on a real database, and AccountService in front of them, for one tenant or several."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from mailproxy.v1 import account_pb2 as pb
from mailproxy_server.accounts.account import Account, Secrets
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.schema import tenants
from mailproxy_server.accounts.vault import Vault
from mailproxy_server.queue.engine import open_engine
from mailproxy_server.rpc.accounts import AccountsServicer
from mailproxy_server.rpc.call import Call
from mailproxy_server.smtp.verify import Verified
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncEngine

KEY = bytes(range(32))

FIELDS: dict[str, Any] = {
    "host": "relay.example",
    "port": 587,
    "tls": "starttls",
    "tls_insecure_skip_verify": False,
    "tls_ca_certificates": "",
    "username": "",
    "password": "",
    "ehlo_name": "",
    "max_connections": 10,
    "max_recipients_per_transaction": 50,
    "max_messages_per_connection": 0,
    "idle_ttl_seconds": 300.0,
    "pipelining": True,
    "is_default": False,
}


@asynccontextmanager
async def engine_of(url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_engine(url)
    try:
        yield engine
    finally:
        await engine.dispose()


async def make_tenant(engine: AsyncEngine, name: str = "one") -> uuid.UUID:
    tenant_id = uuid.uuid4()
    async with engine.begin() as connection:
        await connection.execute(insert(tenants).values(tenant_id=tenant_id, name=name))
    return tenant_id


@dataclass
class Desk:
    """AccountService as one tenant calls it."""

    accounts: Accounts
    tenant_id: uuid.UUID
    queued: int = 0
    answer: Verified = field(default_factory=lambda: Verified(True, ()))
    asked: list[tuple[Account, Secrets]] = field(default_factory=list)

    async def _verify(self, account: Account, secrets: Secrets) -> Verified:
        self.asked.append((account, secrets))
        return self.answer

    async def _has_queued(self, tenant_id: uuid.UUID, account_id: str) -> int:
        return self.queued

    @property
    def servicer(self) -> AccountsServicer:
        return AccountsServicer(self.accounts, self._verify, self._has_queued)

    @property
    def call(self) -> Call:
        return Call(self.tenant_id, "", 0, lambda: None)

    async def manage(
        self, action: pb.AccountAction.ValueType, account: pb.Account, **rest: Any
    ) -> pb.ManageAccountResponse:
        mask = rest.pop("mask", ())
        request = pb.ManageAccountRequest(action=action, account=account, **rest)
        request.update_mask.paths.extend(mask)
        return await self.servicer.ManageAccount(request, self.call)

    async def create(self, account_id: str = "a", **fields: Any) -> pb.Account:
        account = pb.Account(**{"account_id": account_id, "host": "relay.example"} | fields)
        return (await self.manage(pb.ACCOUNT_ACTION_CREATE, account)).account

    async def update(self, account_id: str, *mask: str, **fields: Any) -> pb.Account:
        account = pb.Account(account_id=account_id, **fields)
        return (await self.manage(pb.ACCOUNT_ACTION_UPDATE, account, mask=mask)).account

    async def get(self, account_id: str = "") -> pb.Account:
        request = pb.GetAccountRequest(account_id=account_id)
        return (await self.servicer.GetAccount(request, self.call)).account

    async def ids(self) -> list[str]:
        listed = await self.servicer.ListAccounts(pb.ListAccountsRequest(), self.call)
        return [account.account_id for account in listed.accounts]


@asynccontextmanager
async def desk_on(url: str) -> AsyncIterator[Desk]:
    async with engine_of(url) as engine:
        yield Desk(Accounts(engine, Vault(KEY)), await make_tenant(engine))
