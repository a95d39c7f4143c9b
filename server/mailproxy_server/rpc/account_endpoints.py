"""What an account's attachment endpoints may be. Pure. Refusals never repeat a secret."""

import re
from collections.abc import Sequence

from mailproxy.v1 import account_pb2

from mailproxy_server.accounts.keyed import Endpoint, Given
from mailproxy_server.content.vetting import Refused, vet_url
from mailproxy_server.rpc.account_values import ACCOUNT_ID, Checks, words

ENDPOINTS_MOST = 16
SECRET_LIMIT = 8192

AUTHS = {
    account_pb2.ENDPOINT_AUTH_UNSPECIFIED: "none",
    account_pb2.ENDPOINT_AUTH_NONE: "none",
    account_pb2.ENDPOINT_AUTH_BEARER: "bearer",
    account_pb2.ENDPOINT_AUTH_BASIC: "basic",
    account_pb2.ENDPOINT_AUTH_HEADER: "header",
}
"""The ways of the contract as the table has them."""

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}\Z")
_TAKEN = frozenset(
    {"host", "content-length", "content-type", "transfer-encoding", "connection", "cookie"}
    | {"accept-encoding", "expect", "te", "trailer", "upgrade", "keep-alive"}
)


def endpoints(value: Sequence[account_pb2.AttachmentEndpoint]) -> tuple[Given, ...]:
    """Endpoints with a name of its own each."""
    if len(value) > ENDPOINTS_MOST:
        raise ValueError(f"{len(value)} endpoints, and {ENDPOINTS_MOST} are allowed")
    checks = Checks()
    names: set[str] = set()
    found = []
    for place, one in enumerate(value):
        if not ACCOUNT_ID.match(one.name):
            checks.add(f"[{place}].name", "required: 1 to 63 characters from [a-z0-9_.-]")
        elif one.name in names:
            checks.add(f"[{place}].name", "is another endpoint's too; each needs its own")
        names.add(one.name)
        found.append(_endpoint(one, f"[{place}]", checks))
    checks.refuse()
    return tuple(found)


def _endpoint(one: account_pb2.AttachmentEndpoint, at: str, checks: Checks) -> Given:
    auth = AUTHS[one.auth]
    checks.apply(f"{at}.url", _url, one.url)
    checks.apply(f"{at}.username", words(320), one.username)
    checks.apply(f"{at}.secret", _secret, one.secret)
    if auth == "basic":
        if not one.username or ":" in one.username:
            checks.add(f"{at}.username", "required with BASIC, without a colon (RFC 7617)")
    elif one.username:
        checks.add(f"{at}.username", "is for BASIC only")
    if auth == "header":
        checks.apply(f"{at}.header_name", _header, one.header_name)
    elif one.header_name:
        checks.add(f"{at}.header_name", "is for HEADER only")
    if auth == "none" and one.secret:
        checks.add(f"{at}.secret", "is of no use with NONE; say how to authenticate (auth)")
    kept = Endpoint(one.name, one.url, auth, one.username, one.header_name, auth != "none")
    return Given(kept, one.secret)


def _url(value: str) -> str:
    try:
        vet_url(value)
    except Refused as refused:
        raise ValueError(str(refused)) from None
    return value


def _secret(value: str) -> str:
    if not value.isascii():
        raise ValueError("must be ASCII: it goes into a header")
    return words(SECRET_LIMIT)(value)


def _header(value: str) -> str:
    if not _HEADER.match(value):
        raise ValueError("required with HEADER: the name of a header, as X-Api-Key")
    if value.lower() in _TAKEN:
        raise ValueError("is a header that the request has of its own")
    return value
