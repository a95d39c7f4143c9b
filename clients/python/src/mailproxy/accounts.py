"""The fields of an account in plain Python, and the requests that they become. Pure."""

from datetime import timedelta
from typing import Any, TypedDict, cast

from google.protobuf.field_mask_pb2 import FieldMask

from mailproxy.v1 import account_pb2
from mailproxy.values import duration, number


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
    idle_ttl: timedelta
    disable_pipelining: bool
    is_default: bool


def to_account(account_id: str, fields: AccountFields, etag: str = "") -> account_pb2.Account:
    """Give the account with these fields."""
    given = dict(cast(dict[str, Any], fields))
    if unknown := given.keys() - AccountFields.__annotations__.keys():
        raise TypeError(f"unknown fields of an account: {', '.join(sorted(unknown))}")
    if "tls" in given:
        given["tls"] = number(account_pb2.TlsMode, "TLS_MODE_", given["tls"], "account.tls")
    if "idle_ttl" in given:
        given["idle_ttl"] = duration(given["idle_ttl"])
    return account_pb2.Account(account_id=account_id, etag=etag, **given)


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
