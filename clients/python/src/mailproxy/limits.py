"""Rate limits as people write them: "30/min", "10000/day:messages". Pure."""

import re
from collections.abc import Iterable
from datetime import timedelta
from typing import TypeAlias

from mailproxy.errors import invalid
from mailproxy.v1 import account_pb2
from mailproxy.values import Length, duration, number

LimitLike: TypeAlias = (
    str | tuple[int, str | Length] | tuple[int, str | Length, str] | account_pb2.RateLimit
)
"""How many within which window, and of what: "30/min", (30, "min"), (30, timedelta(minutes=1)),
each with "messages" where SMTP transactions are meant, not recipients; or the protobuf message."""

WINDOWS = {"s": 1, "min": 60, "h": 3600, "day": 86400}
"""Seconds by the name of each window."""

_WRITTEN = re.compile(r"\s*([\d_,]+)\s*/\s*([a-z]+)\s*(?::\s*([a-z]+)\s*)?\Z")
_NAMES = {
    "s": ("s", "sec", "second"),
    "min": ("min", "m", "minute"),
    "h": ("h", "hour"),
    "day": ("day", "d"),
}
_WINDOW_OF = {name: window for window, names in _NAMES.items() for name in names}


def limit(given: LimitLike, field: str = "account.limits") -> account_pb2.RateLimit:
    """Give one limit; raises InvalidRequestError for what names none."""
    if isinstance(given, account_pb2.RateLimit):
        return given
    if isinstance(given, str):
        written = _WRITTEN.match(given)
        if written is None:
            raise invalid(field, f"{given!r} is not a limit, as 30/min or 10000/day:messages")
        count = int(re.sub("[_,]", "", written[1]) or 0)
        return _limit(count, written[2], written[3] or "recipients", field)
    return _limit(given[0], given[1], given[2] if len(given) == 3 else "recipients", field)


def limits(given: Iterable[LimitLike]) -> list[account_pb2.RateLimit]:
    """Give limits, each fault by its place."""
    return [limit(one, f"account.limits[{place}]") for place, one in enumerate(given)]


def written(given: account_pb2.RateLimit) -> str:
    """Give a limit as it is written."""
    seconds = given.window.seconds
    names = [name for name, length in WINDOWS.items() if length == seconds]
    unit = ":messages" if given.unit == account_pb2.RATE_UNIT_MESSAGES else ""
    return f"{given.count}/{names[0] if names else f'{seconds} s'}{unit}"


def _limit(count: int, window: str | Length, unit: str, field: str) -> account_pb2.RateLimit:
    if isinstance(window, str):
        name = _WINDOW_OF.get(window)
        if name is None:
            raise invalid(f"{field}.window", f"is not {window!r} but one of {', '.join(WINDOWS)}")
        window = timedelta(seconds=WINDOWS[name])
    return account_pb2.RateLimit(
        count=count,
        window=duration(window),
        unit=number(account_pb2.RateUnit, "RATE_UNIT_", unit, f"{field}.unit"),
    )
