"""An account as data: a relay, and how to use it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from mailproxy_server.accounts.keyed import DkimKey, Endpoint
from mailproxy_server.accounts.own_name import own_name
from mailproxy_server.policy.retry import RetryPolicy
from mailproxy_server.policy.windows import Limit


@dataclass(frozen=True, slots=True)
class Oauth:
    """How access tokens are got (RFC 6749), without the secrets that it takes."""

    token_url: str
    client_id: str
    scope: str = ""
    has_client_secret: bool = False
    has_refresh_token: bool = False


@dataclass(frozen=True, slots=True)
class Secrets:
    """What authenticates an account, in clear; "" for what it does not have. Never in a repr."""

    password: str = field(default="", repr=False)
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    attachment_endpoints: Mapping[str, str] = field(default_factory=dict, repr=False)
    """By `Endpoint.place`."""
    dkim_keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    """PEM by `DkimKey.place`."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A grant as it is given: with its secrets, "" for those that stay as they were."""

    oauth: Oauth
    client_secret: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """An account without its secrets.

    `tls` is "starttls", "implicit" or "none"; `max_messages_per_connection` 0 means no limit;
    `limit_behavior` is "defer" or "reject"; `rate_group` "" means the account by itself;
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
    limits: tuple[Limit, ...]
    limit_behavior: str
    rate_group: str
    retry: RetryPolicy
    fallback_account_ids: tuple[str, ...]
    failover_patience_seconds: float
    capture: bool
    oauth: Oauth | None
    attachment_endpoints: tuple[Endpoint, ...]
    dkim_keys: tuple[DkimKey, ...]
    dkim_unsigned_headers: tuple[str, ...]
    revision: int
    generation: int
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None

    @property
    def etag(self) -> str:
        """What changes with every change; opaque to callers."""
        return f"r{self.revision}"

    @property
    def rate_key(self) -> str:
        """Whose use of limits is counted together with this account's."""
        return f"group/{self.rate_group}" if self.rate_group else f"account/{self.account_id}"


def same_grant(one: Oauth, other: Oauth | None) -> bool:
    """Whether secrets of the one are good for the other: they go to the same application at the
    same place. A changed address must not draw them to somebody else."""
    return other is not None and (one.token_url, one.client_id) == (
        other.token_url,
        other.client_id,
    )


def relay_fields(account: Account, secrets: Secrets) -> dict[str, Any]:
    """Give the fields of an SMTP relay (smtp's `Relay`) for an account and its secrets.

    Its `tls` is a plain string; its `oauth` None, or the fields of smtp's `OauthGrant`.
    """
    oauth = account.oauth
    grant = oauth and {
        "token_url": oauth.token_url,
        "client_id": oauth.client_id,
        "scope": oauth.scope,
        "client_secret": secrets.client_secret,
        "refresh_token": secrets.refresh_token,
    }
    return {
        "host": account.host,
        "port": account.port,
        "tls": account.tls,
        "tls_insecure_skip_verify": account.tls_insecure_skip_verify,
        "tls_ca_certificates": account.tls_ca_certificates,
        "username": account.username,
        "password": secrets.password,
        "oauth": grant,
        "ehlo_name": account.ehlo_name or own_name(),
        "max_connections": account.max_connections,
        "max_messages_per_connection": account.max_messages_per_connection,
        "idle_ttl": account.idle_ttl_seconds,
        "pipelining": account.pipelining,
    }
