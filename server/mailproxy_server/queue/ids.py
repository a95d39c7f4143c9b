"""Identifiers of messages: UUIDv7 (RFC 9562 section 5.7), so that they sort by time of birth.

Pure: the instant and the randomness are arguments.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID


def uuid7(unix_ms: int, entropy: bytes) -> UUID:
    """Give the id for an instant in milliseconds and 10 random bytes."""
    tail = int.from_bytes(entropy, "big")
    value = (unix_ms & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (tail >> 62 & 0xFFF) << 64
    value |= 0b10 << 62 | tail & 0x3FFF_FFFF_FFFF_FFFF
    return UUID(int=value)


def uuid7_in_order(unix_ns: int, entropy: bytes) -> UUID:
    """Give the id for an instant in nanoseconds and 8 random bytes.

    The fraction of the millisecond, to 244 ns, stands before the randomness (RFC 9562 section 6.2,
    method 3), so that what is submitted one after another is sent in that order.
    """
    unix_ms, rest = divmod(unix_ns, 1_000_000)
    tail = (rest * 4096 // 1_000_000) << 62 | int.from_bytes(entropy, "big") >> 2
    return uuid7(unix_ms, tail.to_bytes(10, "big"))


def born(message_id: UUID) -> datetime:
    """Give the instant (UTC, to the millisecond) at which a UUIDv7 was made."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=message_id.int >> 80)


def first_id(unix_ms: int) -> UUID:
    """Give the least id that a message born at this instant or later can have."""
    return UUID(int=unix_ms << 80)
