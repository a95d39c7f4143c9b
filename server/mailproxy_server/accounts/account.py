"""An account as data: a relay, and how to use it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from mailproxy_server.accounts.own_name import own_name


@dataclass(frozen=True, slots=True)
class Account:
    """An account without its password.

    `tls` is "starttls", "implicit" or "none"; `max_messages_per_connection` 0 means no limit;
    `generation` rises with every change, and `deleted_at` is set on what `delete` returns only.
    """

    tenant_id: UUID
    account_id: str
    host: str
    port: int
    tls: str
    tls_insecure_skip_verify: bool
    tls_ca_certificates: str
    username: str
    has_password: bool
    ehlo_name: str
    max_connections: int
    max_recipients_per_transaction: int
    max_messages_per_connection: int
    idle_ttl_seconds: float
    pipelining: bool
    is_default: bool
    revision: int
    generation: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def etag(self) -> str:
        """What changes with every change; opaque to callers."""
        return f"r{self.revision}"


def relay_fields(account: Account, password: str) -> dict[str, Any]:
    """Give the fields of an SMTP relay (smtp's `Relay`) for an account and its password.

    Its `tls` is a plain string.
    """
    return {
        "host": account.host,
        "port": account.port,
        "tls": account.tls,
        "tls_insecure_skip_verify": account.tls_insecure_skip_verify,
        "tls_ca_certificates": account.tls_ca_certificates,
        "username": account.username,
        "password": password,
        "ehlo_name": account.ehlo_name or own_name(),
        "max_connections": account.max_connections,
        "max_messages_per_connection": account.max_messages_per_connection,
        "idle_ttl": account.idle_ttl_seconds,
        "pipelining": account.pipelining,
    }
