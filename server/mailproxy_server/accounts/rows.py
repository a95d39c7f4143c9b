"""SQL on the accounts table: one statement a function, each in the caller's transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import UUID

from sqlalchemy import Row, exists, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from mailproxy_server.accounts.account import Account, Oauth
from mailproxy_server.accounts.keyed import DkimKey, Endpoint
from mailproxy_server.accounts.schema import accounts, tenants
from mailproxy_server.policy.retry import RetryPolicy
from mailproxy_server.policy.windows import Limit, Unit

CHANNEL = "mailproxy_accounts"
"""Where changes are announced; the payload is "<tenant_id>/<account_id>"."""

AccountRow = Row[Any]

SEALED = ("oauth_sealed", "attachment_endpoints_sealed", "dkim_keys_sealed")
"""Columns that hold secrets, besides the password's."""

_live = accounts.c.deleted_at.is_(None)


def account_of(row: AccountRow) -> Account:
    """Give a row as an Account."""
    columns = dict(row._mapping)
    columns["has_password"] = columns.pop("password_sealed") is not None
    for name in SEALED:
        del columns[name]
    columns["limits"] = tuple(
        Limit(each["count"], each["window"], Unit(each["unit"])) for each in columns["limits"]
    )
    columns["retry"] = RetryPolicy(**columns["retry"])
    columns["fallback_account_ids"] = tuple(columns["fallback_account_ids"])
    columns["oauth"] = Oauth(**columns["oauth"]) if columns["oauth"] else None
    columns["attachment_endpoints"] = tuple(
        Endpoint(**each) for each in columns["attachment_endpoints"]
    )
    columns["dkim_keys"] = tuple(DkimKey(**each) for each in columns["dkim_keys"])
    columns["dkim_unsigned_headers"] = tuple(columns["dkim_unsigned_headers"])
    return Account(**columns)


def stored(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give fields of an Account as the columns that keep them; of the retry policy only what
    differs from the default one, so that a better default reaches those who chose nothing."""
    columns = dict(fields)
    if "limits" in columns:
        columns["limits"] = [asdict(limit) for limit in columns["limits"]]
    if "retry" in columns:
        default = asdict(RetryPolicy())
        chosen = asdict(columns["retry"])
        columns["retry"] = {name: chosen[name] for name in chosen if chosen[name] != default[name]}
    for name in ("fallback_account_ids", "dkim_unsigned_headers"):
        if name in columns:
            columns[name] = list(columns[name])
    return columns


async def lock_tenant(connection: AsyncConnection, tenant_id: UUID) -> None:
    """Wait until no other transaction changes this tenant's accounts.

    Locks the tenant's row FOR NO KEY UPDATE, by its primary key.
    """
    await connection.execute(
        select(tenants.c.tenant_id)
        .where(tenants.c.tenant_id == tenant_id)
        .with_for_update(key_share=True)
    )


async def read(connection: AsyncConnection, tenant_id: UUID, account_id: str) -> AccountRow | None:
    """Read one live account; "" reads the default one. No lock; primary key or accounts_default."""
    which = accounts.c.account_id == account_id if account_id else accounts.c.is_default
    found = await connection.execute(
        select(accounts).where(accounts.c.tenant_id == tenant_id, which, _live)
    )
    return found.one_or_none()


async def read_page(
    connection: AsyncConnection, tenant_id: UUID, after: str, limit: int
) -> Sequence[AccountRow]:
    """Read up to `limit` live accounts that follow `after`, by id. No lock; primary key."""
    found = await connection.execute(
        select(accounts)
        .where(accounts.c.tenant_id == tenant_id, accounts.c.account_id > after, _live)
        .order_by(accounts.c.account_id)
        .limit(limit)
    )
    return found.all()


async def live_among(
    connection: AsyncConnection, tenant_id: UUID, account_ids: Sequence[str]
) -> set[str]:
    """Read which of these accounts there are. No lock; primary key."""
    found = await connection.execute(
        select(accounts.c.account_id).where(
            accounts.c.tenant_id == tenant_id, accounts.c.account_id.in_(account_ids), _live
        )
    )
    return set(found.scalars())


async def any_live(connection: AsyncConnection, tenant_id: UUID) -> bool:
    """Whether the tenant has an account. No lock; primary key."""
    found = await connection.execute(
        select(exists().where(accounts.c.tenant_id == tenant_id, _live))
    )
    return bool(found.scalar_one())


async def clear_default(connection: AsyncConnection, tenant_id: UUID, but: str) -> None:
    """Take the default away from any account other than `but`. Row lock; accounts_default."""
    await connection.execute(
        update(accounts)
        .where(
            accounts.c.tenant_id == tenant_id,
            accounts.c.is_default,
            _live,
            accounts.c.account_id != but,
        )
        .values(is_default=False, **_touched())
    )


async def add(
    connection: AsyncConnection, tenant_id: UUID, account_id: str, columns: Mapping[str, Any]
) -> AccountRow | None:
    """Insert an account, or revive a deleted one of this id; None when a live one has it.

    Row lock; primary key. A revived one goes on with its revision and generation, so that
    no etag ever comes again.
    """
    new = upsert(accounts).values(tenant_id=tenant_id, account_id=account_id, **columns)
    revived = new.on_conflict_do_update(
        index_elements=[accounts.c.tenant_id, accounts.c.account_id],
        set_={**columns, **_touched(), "deleted_at": None, "created_at": func.now()},
        where=accounts.c.deleted_at.is_not(None),
    )
    added: AccountRow | None = (await connection.execute(revived.returning(accounts))).one_or_none()
    return added


async def change(
    connection: AsyncConnection, tenant_id: UUID, account_id: str, columns: Mapping[str, Any]
) -> AccountRow:
    """Change columns of an account and raise revision and generation. Row lock; primary key."""
    changed = await connection.execute(
        update(accounts)
        .where(accounts.c.tenant_id == tenant_id, accounts.c.account_id == account_id)
        .values(**columns, **_touched())
        .returning(accounts)
    )
    row: AccountRow = changed.one()
    return row


async def keep_sealed(
    connection: AsyncConnection, tenant_id: UUID, account_id: str, columns: Mapping[str, Any]
) -> None:
    """Write sealed secrets and nothing else: revision and generation stay, and so do the
    connections of those who send. Row lock; primary key."""
    await connection.execute(
        update(accounts)
        .where(accounts.c.tenant_id == tenant_id, accounts.c.account_id == account_id)
        .values(**columns)
    )


async def announce(connection: AsyncConnection, tenant_id: UUID, account_id: str) -> None:
    """Tell listeners, at commit, that the account changed."""
    await connection.execute(select(func.pg_notify(CHANNEL, f"{tenant_id}/{account_id}")))


def _touched() -> dict[str, Any]:
    return {
        "revision": accounts.c.revision + 1,
        "generation": accounts.c.generation + 1,
        "updated_at": func.now(),
    }
