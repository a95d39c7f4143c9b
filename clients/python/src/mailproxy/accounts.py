"""The fields of an account in plain Python, and the requests that they become. Pure."""

from collections.abc import Callable, Iterable
from typing import Any, TypedDict, cast

from google.protobuf.field_mask_pb2 import FieldMask

from mailproxy.limits import LimitLike, limits
from mailproxy.v1 import account_pb2
from mailproxy.values import Length, duration, number


class RetryFields(TypedDict, total=False):
    """When to try again; what is left out has its default. Meaning and limits as in
    `mailproxy.v1.RetryPolicy`."""

    first_delay: Length
    factor: float
    max_delay: Length
    jitter: float
    max_attempts: int
    max_age: Length


class OauthFields(TypedDict, total=False):
    """How to get access tokens; meaning as in `mailproxy.v1.OauthGrant`. Secrets that are left out
    stay as they were, while token_url and client_id do."""

    token_url: str
    client_id: str
    client_secret: str
    refresh_token: str
    scope: str


class EndpointFields(TypedDict, total=False):
    """A service that gives attachments; meaning as in `mailproxy.v1.AttachmentEndpoint`. A secret
    that is left out stays as it was, while all else does."""

    name: str
    url: str
    auth: str | int
    """"none" (the default), "bearer", "basic", "header", or an `EndpointAuth`."""
    username: str
    header_name: str
    secret: str


class DkimKeyFields(TypedDict, total=False):
    """A key that signs; meaning as in `mailproxy.v1.DkimKey`. A private key that is left out stays
    as it was."""

    domain: str
    selector: str
    private_key: str
    """PEM."""


class AccountFields(TypedDict, total=False):
    """A relay and how to use it; meaning, limits and defaults as in `mailproxy.v1.Account`."""

    host: str
    port: int
    tls: str | int
    """"starttls" (the default), "implicit", "none", or a `TlsMode`."""
    tls_insecure_skip_verify: bool
    tls_ca_certificates: str
    """PEM."""
    username: str
    password: str
    ehlo_name: str
    max_connections: int
    max_recipients_per_transaction: int
    max_messages_per_connection: int
    idle_ttl: Length
    disable_pipelining: bool
    is_default: bool
    limits: Iterable[LimitLike]
    """As ["30/min", "10000/day:messages"]; [] for none."""
    limit_behavior: str | int
    """"defer" (the default), "reject", or a `LimitBehavior`."""
    rate_group: str
    retry: RetryFields | None
    """The whole policy; None for the default one."""
    fallback_account_ids: Iterable[str]
    failover_patience: Length
    capture: bool
    oauth: OauthFields | None
    """None for none."""
    attachment_endpoints: Iterable[EndpointFields]
    """All of them; [] for none."""
    dkim_keys: Iterable[DkimKeyFields]
    """All of them; [] for none."""
    dkim_unsigned_headers: Iterable[str]
    """As ["Message-ID", "Date"]; [] for none."""


def to_account(account_id: str, fields: AccountFields, etag: str = "") -> account_pb2.Account:
    """Give the account with these fields."""
    given = dict(_known(cast(dict[str, Any], fields), AccountFields, "an account"))
    for name, translate in _TRANSLATIONS.items():
        if name in given:
            given[name] = translate(given[name])
    return account_pb2.Account(account_id=account_id, etag=etag, **given)


def _retry(fields: RetryFields | None) -> account_pb2.RetryPolicy | None:
    if fields is None:
        return None
    lengths = {"first_delay", "max_delay", "max_age"}
    given = {k: duration(v) if k in lengths else v for k, v in cast(dict[str, Any], fields).items()}
    return account_pb2.RetryPolicy(**_known(given, RetryFields, "retry"))


def _oauth(fields: OauthFields | None) -> account_pb2.OauthGrant | None:
    if fields is None:
        return None
    given = _known(cast(dict[str, Any], fields), OauthFields, "oauth")
    return account_pb2.OauthGrant(**given)


def _endpoints(given: Iterable[EndpointFields]) -> list[account_pb2.AttachmentEndpoint]:
    found = []
    for place, one in enumerate(given):
        fields = dict(_known(cast(dict[str, Any], one), EndpointFields, "an endpoint"))
        if "auth" in fields:
            field = f"account.attachment_endpoints[{place}].auth"
            fields["auth"] = number(
                account_pb2.EndpointAuth, "ENDPOINT_AUTH_", fields["auth"], field
            )
        found.append(account_pb2.AttachmentEndpoint(**fields))
    return found


def _dkim_keys(given: Iterable[DkimKeyFields]) -> list[account_pb2.DkimKey]:
    return [
        account_pb2.DkimKey(**_known(cast(dict[str, Any], one), DkimKeyFields, "a DKIM key"))
        for one in given
    ]


def _known(given: dict[str, Any], fields: Any, what: str) -> dict[str, Any]:
    if unknown := given.keys() - fields.__annotations__.keys():
        raise TypeError(f"unknown fields of {what}: {', '.join(sorted(unknown))}")
    return given


_TRANSLATIONS: dict[str, Callable[[Any], Any]] = {
    "tls": lambda given: number(account_pb2.TlsMode, "TLS_MODE_", given, "account.tls"),
    "limit_behavior": lambda given: number(
        account_pb2.LimitBehavior, "LIMIT_BEHAVIOR_", given, "account.limit_behavior"
    ),
    "idle_ttl": duration,
    "failover_patience": duration,
    "limits": limits,
    "retry": _retry,
    "oauth": _oauth,
    "attachment_endpoints": _endpoints,
    "dkim_keys": _dkim_keys,
}


def creation(account_id: str, fields: AccountFields) -> account_pb2.ManageAccountRequest:
    """Give the request that creates an account."""
    return account_pb2.ManageAccountRequest(
        action=account_pb2.ACCOUNT_ACTION_CREATE, account=to_account(account_id, fields)
    )


def change(
    account_id: str, fields: AccountFields, *, allow_missing: bool, etag: str
) -> account_pb2.ManageAccountRequest:
    """Give the request that changes exactly the given fields, also to an empty value."""
    return account_pb2.ManageAccountRequest(
        action=account_pb2.ACCOUNT_ACTION_UPDATE,
        account=to_account(account_id, fields, etag),
        update_mask=FieldMask(paths=list(fields)),
        allow_missing=allow_missing,
    )


def deletion(account_id: str, *, force: bool, etag: str) -> account_pb2.ManageAccountRequest:
    """Give the request that deletes an account."""
    return account_pb2.ManageAccountRequest(
        action=account_pb2.ACCOUNT_ACTION_DELETE,
        account=account_pb2.Account(account_id=account_id, etag=etag),
        force=force,
    )


def repeatable(request: account_pb2.ManageAccountRequest) -> bool:
    """Whether doing it twice is the same as once: changing without an etag is."""
    return request.action == account_pb2.ACCOUNT_ACTION_UPDATE and not request.account.etag
