"""Cursors: a place in one tenant's log, opaque to who holds it. Pure.

A cursor names the log, so that one from another database, or past what a failover or a restore has
kept, is refused instead of silently skipping reports; and the day, so that a reader starts at the
right partition.
"""

import base64
import binascii
import struct
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

from mailproxy_server.mail.errors import CallerError
from mailproxy_server.queue.lineage import Head

_FORM = struct.Struct(">B16sIQ")
_VERSION = 1
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Cursor:
    """After the report `offset` of the log `log_id`, which was recorded on `day` (UTC)."""

    log_id: UUID
    day: date
    offset: int

    @property
    def not_before(self) -> datetime:
        """The instant from which on later reports are to be looked for."""
        return datetime(self.day.year, self.day.month, self.day.day, tzinfo=UTC)


def encode(cursor: Cursor) -> str:
    """Give the text form: 40 characters that are safe in URLs and shells."""
    days = (cursor.day - _EPOCH).days
    packed = _FORM.pack(_VERSION, cursor.log_id.bytes, days, cursor.offset)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(text: str) -> Cursor | None:
    """Read the text form; None when it is not one of ours."""
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, log_id, days, offset = _FORM.unpack(packed)
        if version != _VERSION:
            return None
        return Cursor(UUID(bytes=log_id), _EPOCH + timedelta(days=days), offset)
    except (binascii.Error, struct.error, ValueError, OverflowError):
        return None


def expired(kept_from: int) -> CallerError:
    """Give the error for who would go on before the oldest offset that is kept."""
    return CallerError(
        "CURSOR_EXPIRED",
        f"reports after the cursor up to offset {kept_from - 1} have aged out; start at "
        "`earliest` to go on with those that are kept",
        {"first_offset": str(kept_from)},
    )


def place(cursor: Cursor, head: Head) -> Cursor:
    """Give where a cursor is in the log of this head; raises CURSOR_FOREIGN.

    One of an earlier log is good up to where that log and this one are the same.
    """
    shared = head.shared(cursor.log_id)
    if shared is None:
        raise CallerError(
            "CURSOR_FOREIGN",
            "the cursor comes from another database or from before a restore; start at "
            "`earliest` or `since`, and expect reports that you have seen",
        )
    if cursor.offset <= shared.last_offset:
        return replace(cursor, log_id=head.log_id)
    common = Cursor(shared.log_id, shared.last_at.date(), shared.last_offset)
    raise CallerError(
        "CURSOR_FOREIGN",
        f"the database has lost what followed offset {common.offset}, by a failover or a restore, "
        f"and the cursor is past it, at {cursor.offset}; start at `common_cursor` of this error: "
        "what comes from there on are other reports, though their offsets may be ones you have "
        "seen",
        {"common_offset": str(common.offset), "common_cursor": encode(common)},
    )
