"""An account's fields together: which a request sets, and whether the whole may stand. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mailproxy.v1 import account_pb2

from mailproxy_server.accounts.account import Account, Grant, same_grant
from mailproxy_server.accounts.keyed import DkimKey, Endpoint, Given
from mailproxy_server.mail.errors import FieldViolation, InvalidFields, invalid
from mailproxy_server.rpc.account_endpoints import AUTHS
from mailproxy_server.rpc.account_policy import BEHAVIORS, UNITS
from mailproxy_server.rpc.account_rules import OUTPUT_ONLY, PORTS, RULES, TLS
from mailproxy_server.rpc.account_values import ACCOUNT_ID, Faults, loopback
from mailproxy_server.rpc.masks import fields_to_set

Columns = dict[str, Any]


def checked_id(account: account_pb2.Account) -> str:
    """Give the account_id of a request; raises InvalidFields."""
    if not ACCOUNT_ID.match(account.account_id):
        raise invalid(
            "account.account_id",
            "required: 1 to 63 characters from [a-z0-9_.-], beginning with a letter or digit",
        )
    return account.account_id


def to_update(account: account_pb2.Account, mask: Iterable[str]) -> tuple[str, ...]:
    """Give the fields of an account that an update sets; raises InvalidFields."""
    return fields_to_set(account, mask, RULES, OUTPUT_ONLY, "an account")


def columns_of(account: account_pb2.Account, fields: Iterable[str]) -> Columns:
    """Give the columns that `fields` of a request set; raises InvalidFields naming each fault."""
    if unknown := list(_unknown_numbers(account)):
        raise InvalidFields(unknown, reason="UNKNOWN_FIELD")
    columns: Columns = {}
    violations = []
    for name in fields:
        column, rule = RULES[name]
        try:
            columns[column] = rule(_value(account, name))
        except Faults as faults:
            violations += [FieldViolation(f"account.{name}{at}", why) for at, why in faults.found]
        except ValueError as error:
            violations.append(FieldViolation(f"account.{name}", str(error)))
    for place, one in enumerate(columns.get("fallback_account_ids", ())):
        if one == account.account_id:
            field = f"account.fallback_account_ids[{place}]"
            violations.append(FieldViolation(field, "an account does not take over from itself"))
    if violations:
        raise InvalidFields(violations)
    return columns


def completed(columns: Columns, current: Account | None) -> Columns:
    """Give the columns with the port resolved, when the account may stand with them.

    `current` is the account that they change, None for a new one. Raises InvalidFields.
    """
    whole = _Whole(columns, current)
    if columns.get("port") == 0:
        columns = columns | {"port": PORTS[whole["tls"]]}
    _check_credentials(columns, whole)
    if columns.get("oauth"):
        _check_secrets(columns["oauth"], current)
    for field, secret in (("attachment_endpoints", "secret"), ("dkim_keys", "private_key")):
        if field in columns:
            kept = getattr(current, field) if current is not None else ()
            columns = columns | {field: _with_kept(field, secret, columns[field], kept)}
    return columns


def _check_credentials(columns: Columns, whole: "_Whole") -> None:
    username = whole["username"]
    password = columns["password"] if "password" in columns else whole["has_password"]
    if password and whole["oauth"]:
        late, early = ("password", "oauth") if columns.get("password") else ("oauth", "password")
        raise invalid(
            f"account.{late}",
            f"an account has a password or oauth, not both: empty {early} in the same update "
            "(update_mask: oauth, password)",
        )
    if password and not username:
        raise invalid("account.username", "required with a password")
    if whole["oauth"] and not username:
        raise invalid("account.username", "required with oauth: XOAUTH2 names whose mailbox it is")
    if username and whole["tls"] == "none" and not loopback(whole["host"]):
        raise invalid(
            "account.tls",
            "credentials never travel in clear text: choose STARTTLS or IMPLICIT, or leave them "
            "out (NONE with credentials is for relays on loopback)",
        )


def _check_secrets(given: Grant, current: Account | None) -> None:
    """Something has to be there to get a token with, and nothing kept goes to another place."""
    if given.client_secret or given.refresh_token:
        return
    kept = current.oauth if current is not None else None
    if same_grant(given.oauth, kept):
        return
    raise invalid(
        "account.oauth.client_secret",
        "give the secrets anew: those that are kept are for another token_url or client_id"
        if kept
        else "a client_secret or a refresh_token is required",
    )


def _with_kept(
    field: str, secret: str, given: Sequence[Given], kept: Sequence[Endpoint | DkimKey]
) -> tuple[Given, ...]:
    """Give each with what is kept for it where its secret was left out; raises InvalidFields."""
    known = {one.place: one for one in kept}
    found = []
    for place, one in enumerate(given):
        needed = not isinstance(one.what, Endpoint) or one.what.has_secret
        if one.secret or not needed:
            found.append(one)
        elif one.what.place in known:
            found.append(replace(one, what=known[one.what.place]))
        else:
            raise invalid(
                f"account.{field}[{place}].{secret}",
                "required: none is kept for exactly this one",
            )
    return tuple(found)


def _value(account: account_pb2.Account, name: str) -> Any:
    """Give a field's value; None for a message that is not set."""
    field = account_pb2.Account.DESCRIPTOR.fields_by_name[name]
    if field.message_type and field.has_presence and not account.HasField(name):  # type: ignore[arg-type]
        return None
    return getattr(account, name)


def _unknown_numbers(account: account_pb2.Account) -> Iterator[FieldViolation]:
    words = "{} is not a value that this server knows"
    if account.tls not in TLS:
        yield FieldViolation("account.tls", words.format(account.tls))
    if account.limit_behavior not in BEHAVIORS:
        yield FieldViolation("account.limit_behavior", words.format(account.limit_behavior))
    for place, one in enumerate(account.attachment_endpoints):
        if one.auth not in AUTHS:
            yield FieldViolation(
                f"account.attachment_endpoints[{place}].auth", words.format(one.auth)
            )
    for place, limit in enumerate(account.limits):
        if limit.unit not in UNITS:
            yield FieldViolation(f"account.limits[{place}].unit", words.format(limit.unit))


class _Whole:
    """The account as it would stand."""

    def __init__(self, columns: Mapping[str, Any], current: Account | None):
        self._columns = columns
        self._current = current

    def __getitem__(self, column: str) -> Any:
        if column in self._columns:
            return self._columns[column]
        return getattr(self._current, column) if self._current is not None else ""
