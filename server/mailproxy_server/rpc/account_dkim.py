"""What an account's signing keys may be. Pure. Refusals never repeat a key."""

import re
from collections.abc import Sequence

from mailproxy.v1 import account_pb2

from mailproxy_server.accounts.keyed import DkimKey, Given
from mailproxy_server.content.dkim_keys import NotAKey, read_key
from mailproxy_server.mail.address import AddressInvalid, domain_of, normalize
from mailproxy_server.rpc.account_values import Checks

KEYS_MOST = 16
NAMES_MOST = 16
PEM_LIMIT = 16 * 1024

_LABEL = r"[a-z0-9](?:[a-z0-9\-]{0,61}[a-z0-9])?"
_SELECTOR = re.compile(rf"(?=.{{1,120}}\Z){_LABEL}(?:\.{_LABEL})*\Z")
_NAME = re.compile(r"[!-9;-~]{1,76}\Z")


def keys(value: Sequence[account_pb2.DkimKey]) -> tuple[Given, ...]:
    """Keys, each with a DNS record of its own."""
    if len(value) > KEYS_MOST:
        raise ValueError(f"{len(value)} keys, and {KEYS_MOST} are allowed")
    checks = Checks()
    places: set[str] = set()
    found = []
    for place, one in enumerate(value):
        given = _key(one, f"[{place}]", checks)
        if given.what.place in places:
            checks.add(f"[{place}].selector", "is another key's of this domain; each needs its own")
        places.add(given.what.place)
        found.append(given)
    checks.refuse()
    return tuple(found)


def unsigned(value: Sequence[str]) -> tuple[str, ...]:
    """Names of header fields, in lower case; From is always signed."""
    if len(value) > NAMES_MOST:
        raise ValueError(f"{len(value)} names, and {NAMES_MOST} are allowed")
    checks = Checks()
    for place, one in enumerate(value):
        if not _NAME.match(one):
            checks.add(f"[{place}]", "is not the name of a header field")
        elif one.lower() == "from":
            checks.add(f"[{place}]", "From is always signed (RFC 6376 section 5.4)")
    checks.refuse()
    return tuple(dict.fromkeys(one.lower() for one in value))


def _key(one: account_pb2.DkimKey, at: str, checks: Checks) -> Given:
    domain = checks.apply(f"{at}.domain", _domain, one.domain) or one.domain
    selector = checks.apply(f"{at}.selector", _selector, one.selector) or one.selector
    if not one.private_key:
        return Given(DkimKey(domain, selector))
    if len(one.private_key) > PEM_LIMIT:
        checks.add(f"{at}.private_key", f"more than {PEM_LIMIT} characters")
        return Given(DkimKey(domain, selector))
    try:
        key = read_key(one.private_key)
    except NotAKey as error:
        checks.add(f"{at}.private_key", str(error))
        return Given(DkimKey(domain, selector))
    return Given(DkimKey(domain, selector, key.algorithm, key.public), one.private_key)


def _domain(value: str) -> str:
    """A domain in its normal form."""
    try:
        return domain_of(normalize(f"postmaster@{value}"))
    except AddressInvalid:
        raise ValueError("required: the domain that signs, as example.com") from None


def _selector(value: str) -> str:
    if not _SELECTOR.match(value.lower()):
        raise ValueError("required: letters, digits and hyphens, as s1 (RFC 6376 section 3.1)")
    return value.lower()
