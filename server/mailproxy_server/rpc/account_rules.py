"""What an account's fields may hold, field by field, and what they are called in the table. Pure.

Each rule takes the field's value and gives the column's; it raises ValueError with words that
name the limit. What concerns several fields at once is in `account_whole`.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2

ACCOUNT_ID = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,62}\Z")
"""What an account_id looks like."""

CA_LIMIT = 64 * 1024
USERNAME_LIMIT = 320
PASSWORD_LIMIT = 4096

TLS = {
    account_pb2.TLS_MODE_UNSPECIFIED: "starttls",
    account_pb2.TLS_MODE_STARTTLS: "starttls",
    account_pb2.TLS_MODE_IMPLICIT: "implicit",
    account_pb2.TLS_MODE_NONE: "none",
}
"""The modes of the contract as the table has them."""

PORTS = {"starttls": 587, "implicit": 465, "none": 25}
"""The port of each mode where none is given."""

_HOST = re.compile(r"(?=.{1,253}\Z)(?:[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?\.?)+\Z")
_EHLO_LITERAL = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def host(value: str) -> str:
    """A host name or an address without brackets."""
    if not value:
        raise ValueError("required: the relay's host name or address, as smtp.example.com")
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        pass
    if not _HOST.match(value) or value.replace(".", "").isdigit():
        raise ValueError(
            "not a host name or address: letters, digits, hyphens and dots (an international "
            "name in its xn-- form), an IPv6 address without brackets, the port apart"
        )
    return value.lower()


def port(value: int) -> int:
    """A TCP port; 0 stands for the default and is resolved with the TLS mode."""
    if not 0 <= value <= 65_535:
        raise ValueError("must be 1 to 65535, or 0 for the default of the TLS mode")
    return value


def certificates(value: str) -> str:
    """PEM certificates."""
    if len(value) > CA_LIMIT:
        raise ValueError("more than 64 KiB")
    if value:
        try:
            x509.load_pem_x509_certificates(value.encode())
        except ValueError:
            raise ValueError("not PEM certificates (-----BEGIN CERTIFICATE----- ...)") from None
    return value


def words(limit: int) -> Callable[[str], str]:
    """Give the rule of a text without control characters, of up to `limit` octets."""

    def rule(value: str) -> str:
        if len(value.encode()) > limit:
            raise ValueError(f"more than {limit} octets")
        if _CONTROL.search(value):
            raise ValueError("must not hold control characters or line breaks")
        return value

    return rule


def ehlo_name(value: str) -> str:
    """A host name or an address literal (RFC 5321 section 4.1.3); "" is the default."""
    literal = _EHLO_LITERAL.match(value)
    try:
        if literal:
            ipaddress.ip_address(literal[1])
        elif value:
            host(value)
    except ValueError:
        raise ValueError("must be a host name or an address literal, as [192.0.2.1]") from None
    return value


def between(low: int, high: int, default: int) -> Callable[[int], int]:
    """Give the rule of a number from `low` to `high`, where 0 means `default`."""

    def rule(value: int) -> int:
        if value == 0:
            return default
        if not low <= value <= high:
            raise ValueError(f"must be {low} to {high:,}; default {default}")
        return value

    return rule


def idle_ttl(value: Duration) -> float:
    """A duration in seconds; unset means 5 minutes."""
    seconds = value.seconds + value.nanos / 1e9
    if seconds == 0:
        return 300.0
    if not 1 <= seconds <= 3600:
        raise ValueError("must be 1 s to 1 h; default 5 minutes")
    return seconds


RULES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "host": ("host", host),
    "port": ("port", port),
    "tls": ("tls", TLS.__getitem__),
    "tls_insecure_skip_verify": ("tls_insecure_skip_verify", bool),
    "tls_ca_certificates": ("tls_ca_certificates", certificates),
    "username": ("username", words(USERNAME_LIMIT)),
    "password": ("password", words(PASSWORD_LIMIT)),
    "ehlo_name": ("ehlo_name", ehlo_name),
    "max_connections": ("max_connections", between(1, 1000, 10)),
    "max_recipients_per_transaction": ("max_recipients_per_transaction", between(1, 1000, 50)),
    "max_messages_per_connection": ("max_messages_per_connection", between(0, 2**31 - 1, 0)),
    "idle_ttl": ("idle_ttl_seconds", idle_ttl),
    "disable_pipelining": ("pipelining", lambda disabled: not disabled),
    "is_default": ("is_default", bool),
}
"""Each field that a caller may set: its column, and its rule."""

OUTPUT_ONLY = frozenset({"account_id", "has_password", "etag", "create_time", "update_time"})
"""Fields that an update mask may name and that are not changed by it (AIP-203)."""
