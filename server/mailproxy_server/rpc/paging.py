"""Pages of lists (AIP-158). Pure.

A page token is the last key of the page before, bound to the list that it came from, so that
a token of another list, filter or tenant is refused and never silently misread.
"""

import base64
import binascii
import hashlib

from mailproxy_server.mail.errors import invalid

_MARK = 8


def page_size(asked: int, default: int, most: int) -> int:
    """Give how many entries a page shall have; raises InvalidFields for a negative number."""
    if asked < 0:
        raise invalid("page_size", "must not be negative; 0 means the default")
    return min(asked or default, most)


def next_token(scope: str, last: str) -> str:
    """Give the token of the page that follows the key `last` in the list `scope`."""
    return base64.urlsafe_b64encode(_mark(scope) + last.encode()).decode().rstrip("=")


def start_after(scope: str, token: str) -> str:
    """Give the key after which the page begins; raises InvalidFields for a foreign token."""
    if not token:
        return ""
    try:
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if raw[:_MARK] == _mark(scope):
            return raw[_MARK:].decode()
    except (binascii.Error, ValueError):
        pass
    raise invalid(
        "page_token", "not one of this list; take next_page_token of its last response, or none"
    )


def _mark(scope: str) -> bytes:
    return hashlib.sha256(scope.encode()).digest()[:_MARK]
