"""An account's fields together: which a request sets, and whether the whole may stand. Pure."""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from mailproxy.v1 import account_pb2

from mailproxy_server.accounts.account import Account
from mailproxy_server.mail.errors import FieldViolation, InvalidFields, invalid
from mailproxy_server.rpc.account_rules import ACCOUNT_ID, OUTPUT_ONLY, PORTS, RULES, TLS

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
    """Give the fields that an update sets (AIP-134): the mask's, all for "*", or the populated.

    Raises InvalidFields for a path that is not a field of an account.
    """
    paths = tuple(mask)
    if not paths:
        return tuple(field.name for field, _ in account.ListFields() if field.name in RULES)
    if "*" in paths:
        if len(paths) > 1:
            raise invalid("update_mask", '"*" stands alone')
        return tuple(RULES)
    for path in paths:
        if path not in RULES and path not in OUTPUT_ONLY:
            names = ", ".join(RULES)
            raise invalid("update_mask", f"{path[:64]!r} is not a field of an account: {names}")
    return tuple(dict.fromkeys(path for path in paths if path in RULES))


def columns_of(account: account_pb2.Account, fields: Iterable[str]) -> Columns:
    """Give the columns that `fields` of a request set; raises InvalidFields naming each fault."""
    if account.tls not in TLS:
        raise InvalidFields(
            [FieldViolation("account.tls", f"{account.tls} is not a mode that this server knows")],
            reason="UNKNOWN_FIELD",
        )
    columns: Columns = {}
    violations = []
    for name in fields:
        column, rule = RULES[name]
        try:
            columns[column] = rule(getattr(account, name))
        except ValueError as error:
            violations.append(FieldViolation(f"account.{name}", str(error)))
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
    username, tls = whole["username"], whole["tls"]
    password = columns["password"] if "password" in columns else whole["has_password"]
    if password and not username:
        raise invalid("account.username", "required with a password")
    if username and tls == "none" and not loopback(whole["host"]):
        raise invalid(
            "account.tls",
            "credentials never travel in clear text: choose STARTTLS or IMPLICIT, or leave them "
            "out (NONE with credentials is for relays on loopback)",
        )
    return columns


def loopback(host: str) -> bool:
    """Whether a relay's host is this host."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class _Whole:
    """The account as it would stand."""

    def __init__(self, columns: Mapping[str, Any], current: Account | None):
        self._columns = columns
        self._current = current

    def __getitem__(self, column: str) -> Any:
        if column in self._columns:
            return self._columns[column]
        return getattr(self._current, column) if self._current is not None else ""
