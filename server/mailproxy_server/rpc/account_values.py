"""Rules that fields of several kinds share. Pure.

A rule takes a field's value, None for a message that is not set, and gives what is kept; it
raises ValueError with words that name the limit, or Faults when the fault lies deeper.
"""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration

ACCOUNT_ID = re.compile(r"[a-z0-9][a-z0-9_.\-]{0,62}\Z")
"""What an account_id looks like."""

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_\-]{0,61}[A-Za-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

Given = TypeVar("Given")
Kept = TypeVar("Kept")


class Faults(ValueError):
    """What is wrong within one field: paths from it, as "[1].window", and words."""

    def __init__(self, found: Sequence[tuple[str, str]]):
        super().__init__("; ".join(words for _, words in found))
        self.found = tuple(found)


class Checks:
    """Applies rules to the parts of one field and gathers what they find."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []

    def apply(self, path: str, rule: Callable[[Given], Kept], value: Given) -> Kept | None:
        """Give what the rule gives, None where it refuses; no None is left after `refuse`."""
        try:
            return rule(value)
        except ValueError as error:
            self.add(path, str(error))
            return None

    def add(self, path: str, words: str) -> None:
        """Note a fault."""
        self._found.append((path, words))

    def refuse(self) -> None:
        """Raise Faults if there are any."""
        if self._found:
            raise Faults(self._found)


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


def words(limit: int) -> Callable[[str], str]:
    """Give the rule of a text without control characters, of up to `limit` octets."""

    def rule(value: str) -> str:
        if len(value.encode()) > limit:
            raise ValueError(f"more than {limit} octets")
        if _CONTROL.search(value):
            raise ValueError("must not hold control characters or line breaks")
        return value

    return rule


def name(value: str) -> str:
    """A name that looks like an account_id; "" for none."""
    if value and not ACCOUNT_ID.match(value):
        raise ValueError(
            "must be 1 to 63 characters from [a-z0-9_.-], beginning with a letter or digit"
        )
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


def span(
    low: float, high: float, default: float, limits: str
) -> Callable[[Duration | None], float]:
    """Give the rule of a duration in seconds; unset, or 0 where that is too short, means the
    default."""

    def rule(value: Duration | None) -> float:
        seconds = value.seconds + value.nanos / 1e9 if value is not None else default
        if seconds == 0 and low > 0:
            return default
        if not low <= seconds <= high:
            raise ValueError(limits)
        return seconds

    return rule


def choice(values: Mapping[Any, str]) -> Callable[[int], str]:
    """Give the rule of an enum; numbers that are not known are refused before."""
    return values.__getitem__


def loopback(host: str) -> bool:
    """Whether a host is this host."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
