"""Gathers what is wrong with one email, so that a caller hears of all of it at once.

Paths are relative to the email ("composed.to[3].address"); the prefix, "" for none, is put before
them here.
"""

from typing import Final

from mailproxy_server.mail.errors import FieldViolation, InvalidFields

VIOLATION_LIMIT: Final = 20
"""How many faults one error names."""


class Violations:
    """The faults found so far; nothing is raised before `refuse`."""

    __slots__ = ("_found", "_prefix")

    def __init__(self, prefix: str):
        self._prefix = prefix
        self._found: list[FieldViolation] = []

    def add(self, field: str, description: str) -> None:
        """Note a fault of `field`; "" is the email itself. Past the limit it is only dropped."""
        if len(self._found) < VIOLATION_LIMIT:
            path = ".".join(part for part in (self._prefix, field) if part)
            self._found.append(FieldViolation(path, description))

    @property
    def full(self) -> bool:
        """Whether looking for more is of no use."""
        return len(self._found) >= VIOLATION_LIMIT

    def refuse(self, reason: str = "FIELD_INVALID") -> None:
        """Raise `InvalidFields` if anything was found."""
        if self._found:
            raise InvalidFields(self._found, reason)
