"""The options that several commands share, and times as people write them."""

import re
import sys
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

Target = Annotated[
    str | None,
    typer.Option(help="host:port of the server. Default: MAILPROXY_TARGET, else 127.0.0.1:50051."),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="File that holds the bearer token. Default: MAILPROXY_TOKEN, MAILPROXY_TOKEN_FILE, "
        "else the one that a server on this machine left for you."
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Account = Annotated[str, typer.Option(help="Only of this account.")]
Labels = Annotated[
    list[str] | None, typer.Option("--label", help="Only with this label, as key=value. Repeat.")
]

MaybeId = Annotated[str, typer.Argument(help="The message's id; or give --request-id.")]
RequestId = Annotated[str, typer.Option(help="The request_id that it was submitted with.")]


class PriorityName(StrEnum):
    """What goes first among the messages of one account."""

    immediate = "immediate"
    high = "high"
    medium = "medium"
    low = "low"


class TlsName(StrEnum):
    """How the connection to a relay is protected."""

    starttls = "starttls"
    implicit = "implicit"
    none = "none"


EXIT_CODES = (
    "Exit codes: 0 done; 1 failed or refused; 2 wrong usage; 3 no answer, or no final report, in "
    "time; 4 the token is missing or not known."
)

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGE = re.compile(r"\+?(\d+)\s*([smhd])\Z")


def pairs(given: list[str] | None, option: str = "--label") -> dict[str, str]:
    """Give the key=value pairs of a repeated option."""
    found = {}
    for pair in given or []:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{pair!r} is not key=value", param_hint=option)
        found[key] = value
    return found


def one_message(message_id: str, request_id: str) -> None:
    """Refuse what names no message, or two."""
    if bool(message_id) == bool(request_id):
        raise typer.BadParameter("give the message's id or --request-id")


def ago(text: str, option: str) -> datetime:
    """Give the time that "2h" or "30m" ago was, or that an ISO 8601 text names."""
    length = _length(text)
    return datetime.now(UTC) - length if length else _instant(text, option)


def ahead(text: str, option: str) -> datetime:
    """Give the time that is "10m" ahead, or that an ISO 8601 text names."""
    length = _length(text)
    return datetime.now(UTC) + length if length else _instant(text, option)


def length(text: str, option: str) -> timedelta:
    """Give a length of time, as "90s" or "5m"."""
    length = _length(text)
    if length is None:
        raise typer.BadParameter(
            f"{text!r} is not a length of time, as 90s, 5m, 2h", param_hint=option
        )
    return length


def maybe_length(text: str | None, option: str) -> timedelta | None:
    """Give a length of time where one is given."""
    return None if text is None else length(text, option)


def read(path: str, option: str) -> str:
    """Give what a file holds; "-" is stdin."""
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text()
    except (OSError, UnicodeError) as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _length(text: str) -> timedelta | None:
    found = _AGE.match(text)
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def _instant(text: str, option: str) -> datetime:
    """A time without a zone is this machine's local time."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither as 2030-01-31T09:00 nor as 10m, 2h, 1d", param_hint=option
        ) from None
