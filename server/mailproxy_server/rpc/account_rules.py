"""What an account's fields may hold, field by field, and what they are called in the table. Pure.

Rules are as in `account_values`. What concerns several fields at once is in `account_whole`.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from mailproxy.v1 import account_pb2

from mailproxy_server.rpc.account_dkim import keys, unsigned
from mailproxy_server.rpc.account_endpoints import endpoints
from mailproxy_server.rpc.account_oauth import grant
from mailproxy_server.rpc.account_policy import BEHAVIORS, fallbacks, limits, patience, retry
from mailproxy_server.rpc.account_values import between, choice, host, name, span, words

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

_EHLO_LITERAL = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]+)\]\Z")


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


RULES: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "host": ("host", host),
    "port": ("port", port),
    "tls": ("tls", choice(TLS)),
    "tls_insecure_skip_verify": ("tls_insecure_skip_verify", bool),
    "tls_ca_certificates": ("tls_ca_certificates", certificates),
    "username": ("username", words(USERNAME_LIMIT)),
    "password": ("password", words(PASSWORD_LIMIT)),
    "ehlo_name": ("ehlo_name", ehlo_name),
    "max_connections": ("max_connections", between(1, 1000, 10)),
    "max_recipients_per_transaction": ("max_recipients_per_transaction", between(1, 1000, 50)),
    "max_messages_per_connection": ("max_messages_per_connection", between(0, 2**31 - 1, 0)),
    "idle_ttl": (
        "idle_ttl_seconds",
        span(1, 3600, 300.0, "must be 1 s to 1 h; default 5 minutes"),
    ),
    "disable_pipelining": ("pipelining", lambda disabled: not disabled),
    "is_default": ("is_default", bool),
    "limits": ("limits", limits),
    "limit_behavior": ("limit_behavior", choice(BEHAVIORS)),
    "rate_group": ("rate_group", name),
    "retry": ("retry", retry),
    "fallback_account_ids": ("fallback_account_ids", fallbacks),
    "failover_patience": ("failover_patience_seconds", patience),
    "capture": ("capture", bool),
    "oauth": ("oauth", grant),
    "attachment_endpoints": ("attachment_endpoints", endpoints),
    "dkim_keys": ("dkim_keys", keys),
    "dkim_unsigned_headers": ("dkim_unsigned_headers", unsigned),
}
"""Each field that a caller may set: its column, and its rule."""

OUTPUT_ONLY = frozenset({"account_id", "has_password", "etag", "create_time", "update_time"})
"""Fields that an update mask may name and that are not changed by it (AIP-203)."""
