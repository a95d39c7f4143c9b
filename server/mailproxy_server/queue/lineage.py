"""The logs that a tenant's reports were kept in, one after the other, and what they share. Pure.

A log ends, and the next one begins, where the database turned out to be another one than before: a
standby was promoted, or a backup restored. Up to the offset that the database had then, the old log
and the new one hold the same reports. What the old one held past it is lost, and the new one gives
these offsets to other reports.
"""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Stretch:
    """A log up to an offset; `last_at` is when the newest report in it was recorded."""

    log_id: UUID
    last_offset: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Head:
    """The newest end of a tenant's log, and the logs before it, oldest first."""

    log_id: UUID
    last_offset: int
    last_at: datetime
    ended: tuple[Stretch, ...] = ()

    def log_of(self, offset: int) -> UUID:
        """Give the log that the report of an offset was first written to.

        It names a report for ever: two reports never have the same log and offset.
        """
        if not self.ended or offset > self.ended[-1].last_offset:
            return self.log_id
        return next(each.log_id for each in self.ended if offset <= each.last_offset)

    def shared(self, log_id: UUID) -> Stretch | None:
        """Give how far a log is the same as this one; None for a log that is not known here."""
        if log_id == self.log_id:
            return Stretch(self.log_id, self.last_offset, self.last_at)
        return next((each for each in self.ended if each.log_id == log_id), None)
