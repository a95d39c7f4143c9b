"""What a token endpoint is asked, and what its answer means (RFC 6749). Pure.

By refresh token where there is one (section 6), else by client credentials (section 4.4). What an
endpoint says is not repeated, but for the error codes of section 5.2.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mailproxy_server.mail.transcript import Fault, FaultKind
from mailproxy_server.smtp.relay import OauthGrant

TOKEN_LIMIT = 8192
"""Octets; in base64 it has to fit into a line of AUTH (RFC 4954 section 4: 12,288)."""
UNSAID_LIFE = 300.0
"""Seconds that a token is taken to live whose endpoint does not say (section 5.1)."""

_PASSING = frozenset({408, 425, 429})
_ERRORS = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "unauthorized_client",
        "unsupported_grant_type",
        "invalid_scope",
    }
)
_PRINTABLE = re.compile(r"[\x21-\x7e]+\Z")


@dataclass(frozen=True, slots=True)
class Issued:
    """What an endpoint gave. `life` is in seconds; `refresh_token` "" when there is no new one."""

    access_token: str = field(repr=False)
    life: float
    refresh_token: str = field(default="", repr=False)


def form(grant: OauthGrant) -> dict[str, str]:
    """Give the form to post."""
    fields = {
        "grant_type": "refresh_token" if grant.refresh_token else "client_credentials",
        "refresh_token": grant.refresh_token,
        "client_id": grant.client_id,
        "client_secret": grant.client_secret,
        "scope": grant.scope,
    }
    return {name: value for name, value in fields.items() if value}


def judge(where: str, status: int, body: bytes | None) -> Issued | Fault:
    """Give what an answer means; `body` is None when it was too long."""
    said = _fields(body)
    if status == 200:
        return _issued(said) or Fault(
            FaultKind.PROTOCOL, f"the token endpoint {where} did not answer with an access token"
        )
    if status >= 500 or status in _PASSING:
        return Fault(FaultKind.UNREACHABLE, f"the token endpoint {where} answered {status}")
    error = said.get("error")
    code = f" ({error})" if isinstance(error, str) and error in _ERRORS else ""
    return Fault(FaultKind.AUTH, f"the token endpoint {where} refused: {status}{code}")


def _fields(body: bytes | None) -> Mapping[str, Any]:
    try:
        found = json.loads(body or b"")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _issued(said: Mapping[str, Any]) -> Issued | None:
    token, kind = said.get("access_token"), said.get("token_type")
    if not (isinstance(kind, str) and kind.lower() == "bearer" and _usable(token)):
        return None
    try:
        life = float(said.get("expires_in", UNSAID_LIFE))
    except (TypeError, ValueError):
        life = UNSAID_LIFE
    refresh = said.get("refresh_token")
    return Issued(str(token), life if life > 0 else 0.0, str(refresh) if _usable(refresh) else "")


def _usable(token: object) -> bool:
    """Whether it is text that can stand in XOAUTH2, whose separator is a control character."""
    return isinstance(token, str) and len(token) <= TOKEN_LIMIT and bool(_PRINTABLE.match(token))
