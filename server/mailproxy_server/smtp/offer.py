"""What a relay's EHLO offers (RFC 5321 section 4.1.1.1), as the transaction needs it.

Pure: keywords in, one value out.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Offer:
    """The extensions that we use; `keywords` is all that the relay said, for people."""

    pipelining: bool = False
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    sizes: bool = False
    """Whether SIZE= may stand in MAIL (RFC 1870)."""
    max_size: int = 0
    """Octets of a message; 0 when the relay names no limit."""
    max_transactions: int = 0
    """LIMITS MAILMAX (RFC 9422): transactions on one connection; 0 when not limited."""
    max_recipients: int = 0
    """LIMITS RCPTMAX: recipients of one transaction; 0 when not limited."""
    keywords: tuple[str, ...] = ()


def read_offer(extensions: Mapping[str, str]) -> Offer:
    """Give the offer of an EHLO reply, its keywords in lower case with their parameters."""
    words = (word.partition("=") for word in extensions.get("limits", "").split())
    limits = {name.upper(): value for name, _, value in words}
    return Offer(
        pipelining="pipelining" in extensions,
        eight_bit="8bitmime" in extensions,
        smtputf8="smtputf8" in extensions,
        dsn="dsn" in extensions,
        sizes="size" in extensions,
        max_size=_number(extensions.get("size", "")),
        max_transactions=_number(limits.get("MAILMAX", "")),
        max_recipients=_number(limits.get("RCPTMAX", "")),
        keywords=tuple(f"{name.upper()} {value}".strip() for name, value in extensions.items()),
    )


def _number(text: str) -> int:
    """A number, or 0: a relay that writes its limit wrongly has said none."""
    digits = text.strip()
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 20 else 0
