"""The accounts of all tenants: made, changed, deleted and read, each in one transaction.

Changes of one tenant's accounts go one after another (its row is locked), so that the default
is always one; each raises revision and generation and is announced on `rows.CHANNEL`.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from mailproxy_server.accounts import rows
from mailproxy_server.accounts.account import Account, Secrets
from mailproxy_server.accounts.sealing import Sealing
from mailproxy_server.accounts.vault import Vault
from mailproxy_server.mail.errors import CallerError, FieldViolation, InvalidFields

NAMED = 10
"""How many account ids an error names."""

Change = Callable[[Account], Mapping[str, Any]]
"""Given the account as it is, gives the fields to change; may raise CallerError."""


class Accounts:
    """Accounts in the database of `engine`, their secrets sealed by `vault`.

    Fields are given by the names of `Account`; "oauth" as a Grant, endpoints and keys as Givens,
    "password" in clear ("" for none). With `validate_only` all is done and then rolled back.
    Errors: ACCOUNT_EXISTS, ACCOUNT_NOT_FOUND, ETAG_MISMATCH, FIELD_INVALID for fallbacks that
    there are not.
    """

    def __init__(self, engine: AsyncEngine, vault: Vault):
        self._engine = engine
        self._sealing = Sealing(vault)

    async def create(
        self,
        tenant_id: UUID,
        account_id: str,
        fields: Mapping[str, Any],
        *,
        validate_only: bool = False,
    ) -> Account:
        """Make an account; the tenant's first one becomes its default."""
        columns = rows.stored(self._sealing.seal(tenant_id, account_id, fields))
        async with self._changing(tenant_id, validate_only) as connection:
            await _check_fallbacks(connection, tenant_id, fields)
            if not await rows.any_live(connection, tenant_id):
                columns["is_default"] = True
            if columns["is_default"]:
                await rows.clear_default(connection, tenant_id, but=account_id)
            row = await rows.add(connection, tenant_id, account_id, columns)
            if row is None:
                raise CallerError(
                    "ACCOUNT_EXISTS",
                    f"the account {account_id} exists; update it, or choose another account_id",
                )
            await rows.announce(connection, tenant_id, account_id)
        return rows.account_of(row)

    async def update(
        self,
        tenant_id: UUID,
        account_id: str,
        change: Change,
        etag: str = "",
        *,
        validate_only: bool = False,
    ) -> Account:
        """Change fields; a true `is_default` takes the default from the account that has it.

        Nothing to change changes nothing, the etag included.
        """
        async with self._changing(tenant_id, validate_only) as connection:
            current = await _current(connection, tenant_id, account_id, etag)
            account = rows.account_of(current)
            fields = change(account)
            if not fields:
                return account
            await _check_fallbacks(connection, tenant_id, fields)
            columns = rows.stored(self._sealing.seal(tenant_id, account_id, fields, current))
            if columns.get("is_default"):
                await rows.clear_default(connection, tenant_id, but=account_id)
            row = await rows.change(connection, tenant_id, account_id, columns)
            await rows.announce(connection, tenant_id, account_id)
        return rows.account_of(row)

    async def delete(
        self, tenant_id: UUID, account_id: str, etag: str = "", *, validate_only: bool = False
    ) -> Account:
        """Delete an account and give its last state; the default moves nowhere.

        The row stays, without its secrets, for those who look at its messages.
        """
        nothing = {"password_sealed": None, "oauth": None}
        nothing |= dict.fromkeys(rows.SEALED)
        gone = {"deleted_at": func.now(), "is_default": False, **nothing}
        async with self._changing(tenant_id, validate_only) as connection:
            last = rows.account_of(await _current(connection, tenant_id, account_id, etag))
            await rows.change(connection, tenant_id, account_id, gone)
            await rows.announce(connection, tenant_id, account_id)
        return last

    async def get(self, tenant_id: UUID, account_id: str = "") -> Account:
        """Read an account; "" reads the default one."""
        async with self._engine.connect() as connection:
            return rows.account_of(await _current(connection, tenant_id, account_id))

    async def find(self, tenant_id: UUID, account_id: str) -> Account | None:
        """Read an account ("" the default one), or give None when there is none."""
        async with self._engine.connect() as connection:
            row = await rows.read(connection, tenant_id, account_id)
        return None if row is None else rows.account_of(row)

    async def list(self, tenant_id: UUID, after: str = "", limit: int = 100) -> list[Account]:
        """Read up to `limit` accounts that follow `after`, by account_id."""
        async with self._engine.connect() as connection:
            page = await rows.read_page(connection, tenant_id, after, limit)
        return [rows.account_of(row) for row in page]

    async def credentials(self, tenant_id: UUID, account_id: str) -> tuple[Account, Secrets] | None:
        """Read an account and its secrets; None when it is gone.

        Raises `VaultError` when they were sealed with another key.
        """
        async with self._engine.connect() as connection:
            row = await rows.read(connection, tenant_id, account_id)
        return None if row is None else (rows.account_of(row), self._sealing.open(row))

    async def keep_refresh_token(
        self, tenant_id: UUID, account_id: str, old: str, new: str
    ) -> None:
        """Put the refresh token that the endpoint gave in place of the one that it was given for
        (RFC 6749 section 6), unless an operator has set another one meanwhile.

        It is no change of the account. Raises `VaultError` as `credentials` does.
        """
        async with self._changing(tenant_id, validate_only=False) as connection:
            row = await rows.read(connection, tenant_id, account_id)
            columns = row and self._sealing.with_refresh_token(row, old, new)
            if columns:
                await rows.keep_sealed(connection, tenant_id, account_id, columns)

    async def missing(self, tenant_id: UUID, account_id: str) -> CallerError:
        """Give the error for an account that is not there."""
        async with self._engine.connect() as connection:
            return await _missing(connection, tenant_id, account_id)

    @asynccontextmanager
    async def _changing(
        self, tenant_id: UUID, validate_only: bool
    ) -> AsyncIterator[AsyncConnection]:
        async with self._engine.connect() as connection, connection.begin() as transaction:
            await rows.lock_tenant(connection, tenant_id)
            yield connection
            if validate_only:
                await transaction.rollback()


async def _current(
    connection: AsyncConnection, tenant_id: UUID, account_id: str, etag: str = ""
) -> rows.AccountRow:
    row = await rows.read(connection, tenant_id, account_id)
    if row is None:
        raise await _missing(connection, tenant_id, account_id)
    current = rows.account_of(row).etag
    if etag and etag != current:
        raise CallerError(
            "ETAG_MISMATCH",
            f"the account {row.account_id} has changed since it was read: its etag is "
            f"{current}, not {etag}; read it again and repeat the change",
            {"etag": current},
        )
    return row


async def _check_fallbacks(
    connection: AsyncConnection, tenant_id: UUID, fields: Mapping[str, Any]
) -> None:
    wanted = fields.get("fallback_account_ids", ())
    live = await rows.live_among(connection, tenant_id, wanted) if wanted else set()
    if live.issuperset(wanted):
        return
    known = await rows.read_page(connection, tenant_id, "", NAMED + 1)
    names = _listed([one.account_id for one in known])
    raise InvalidFields(
        [
            FieldViolation(
                f"account.fallback_account_ids[{number}]",
                f"there is no account {name}; create it first. Known accounts: {names or 'none'}",
            )
            for number, name in enumerate(wanted)
            if name not in live
        ]
    )


async def _missing(connection: AsyncConnection, tenant_id: UUID, account_id: str) -> CallerError:
    known = await rows.read_page(connection, tenant_id, "", NAMED + 1)
    return not_found(account_id, [one.account_id for one in known])


def not_found(account_id: str, known: list[str]) -> CallerError:
    """Give the error for an account that is not there; `known` are ids of those that are."""
    if not known:
        words = "there is no account yet; create one with `mailproxy account set <id> --host …`"
    else:
        names = _listed(known)
        wanted = account_id or "<id>"
        how = f"`mailproxy account set {wanted} …`" + ("" if account_id else " --default")
        words = f"known accounts: {names}; create it with {how}"
    what = f"no account {account_id}" if account_id else "no default account, and none was named"
    return CallerError("ACCOUNT_NOT_FOUND", f"{what}; {words}")


def _listed(known: list[str]) -> str:
    return ", ".join(known[:NAMED]) + (", …" if len(known) > NAMED else "")
