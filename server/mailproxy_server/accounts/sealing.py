"""An account's secrets at rest: sealed on their way into the table, opened for who sends.

A password has a column of its own; those of a grant, of all endpoints, of all signing keys are one
sealed JSON each. What a change does not give stays, as long as it is good for the same place.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any
from uuid import UUID

from mailproxy_server.accounts.account import Grant, Oauth, Secrets, same_grant
from mailproxy_server.accounts.keyed import Given, secrets_of
from mailproxy_server.accounts.rows import AccountRow
from mailproxy_server.accounts.vault import Vault, VaultError
from mailproxy_server.mail.errors import invalid

KEYED = ("attachment_endpoints", "dkim_keys")
"""Fields that hold Givens."""


class Sealing:
    """Seals and opens with `vault`, each value bound to its tenant, account and field."""

    def __init__(self, vault: Vault):
        self._vault = vault

    def seal(
        self,
        tenant_id: UUID,
        account_id: str,
        fields: Mapping[str, Any],
        row: AccountRow | None = None,
    ) -> dict[str, Any]:
        """Give the fields with "password" and "oauth" (a Grant) as the columns that keep them.

        `row` is the account that they change. Raises InvalidFields when what it keeps does not
        open any more.
        """
        columns = dict(fields)
        if "password" in columns:
            password = columns.pop("password")
            context = _context(tenant_id, account_id, "password")
            columns["password_sealed"] = self._vault.seal(context, password) if password else None
        if "oauth" in columns:
            grant: Grant | None = columns["oauth"]
            columns["oauth"] = columns["oauth_sealed"] = None
            if grant is not None:
                columns |= self._sealed(tenant_id, account_id, self._whole(grant, row))
        for name in KEYED:
            if name in columns:
                columns |= self._sealed_keyed(tenant_id, account_id, name, columns[name], row)
        return columns

    def open(self, row: AccountRow) -> Secrets:
        """Give an account's secrets; raises VaultError when they were sealed with another key."""
        password = ""
        if row.password_sealed:
            context = _context(row.tenant_id, row.account_id, "password")
            password = self._vault.open(context, row.password_sealed)
        given = self._opened(row, "oauth") | {name: self._opened(row, name) for name in KEYED}
        return Secrets(password, **given)

    def _opened(self, row: AccountRow, field: str) -> dict[str, Any]:
        """Give what is in a sealed JSON, {} where nothing is."""
        sealed = row._mapping[f"{field}_sealed"]
        if not sealed:
            return {}
        context = _context(row.tenant_id, row.account_id, field)
        opened: dict[str, Any] = json.loads(self._vault.open(context, sealed))
        return opened

    def with_refresh_token(self, row: AccountRow, old: str, new: str) -> dict[str, Any] | None:
        """Give the columns in which `new` has taken the place of `old`; None where another one,
        or none, is kept meanwhile."""
        kept = self.open(row)
        if row.oauth is None or kept.refresh_token != old:
            return None
        grant = Grant(Oauth(**row.oauth), kept.client_secret, new)
        return self._sealed(row.tenant_id, row.account_id, grant)

    def _whole(self, grant: Grant, row: AccountRow | None) -> Grant:
        """Add what the account keeps to what was given."""
        kept = Oauth(**row.oauth) if row is not None and row.oauth else None
        if row is None or not same_grant(grant.oauth, kept):
            return grant
        if grant.client_secret and grant.refresh_token:
            return grant
        try:
            secrets = self.open(row)
        except VaultError as error:
            raise invalid(
                "account.oauth.client_secret", f"give the secrets anew: {error}"
            ) from None
        return replace(
            grant,
            client_secret=grant.client_secret or secrets.client_secret,
            refresh_token=grant.refresh_token or secrets.refresh_token,
        )

    def _sealed_keyed(
        self,
        tenant_id: UUID,
        account_id: str,
        name: str,
        given: Sequence[Given],
        row: AccountRow | None,
    ) -> dict[str, Any]:
        """Give the columns of endpoints or keys."""
        kept: dict[str, str] = {}
        if row is not None and not all(one.secret for one in given):
            try:
                kept = self._opened(row, name)
            except VaultError as error:
                raise invalid(f"account.{name}", f"give the secrets anew: {error}") from None
        secrets = secrets_of(given, kept)
        context = _context(tenant_id, account_id, name)
        return {
            name: [asdict(one.what) for one in given],
            f"{name}_sealed": self._vault.seal(context, json.dumps(secrets)) if secrets else None,
        }

    def _sealed(self, tenant_id: UUID, account_id: str, grant: Grant) -> dict[str, Any]:
        secrets = {"client_secret": grant.client_secret, "refresh_token": grant.refresh_token}
        context = _context(tenant_id, account_id, "oauth")
        has = {f"has_{name}": bool(secret) for name, secret in secrets.items()}
        return {
            "oauth": {
                "token_url": grant.oauth.token_url,
                "client_id": grant.oauth.client_id,
                "scope": grant.oauth.scope,
                **has,
            },
            "oauth_sealed": self._vault.seal(context, json.dumps(secrets)),
        }


def _context(tenant_id: UUID, account_id: str, field: str) -> str:
    return f"{tenant_id}/{account_id}/{field}"
