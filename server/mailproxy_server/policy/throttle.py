"""The throttle: how much slower an account goes when its relay asks for it, and back again.

Additive increase, multiplicative decrease, first of connections, then, with one left, of the
pause between two messages.
"""

from dataclasses import dataclass

SETTLE_SECONDS = 5.0
"""After a step down: what is refused meanwhile was under way already."""
CLEAN_SECONDS = 30.0
"""Without a refusal, after which it goes one step up."""
_FIRST_GAP = 1.0
_LONGEST_GAP = 60.0


@dataclass(frozen=True, slots=True)
class Throttle:
    """`connections` None: all that the account has. `gap` is in seconds between two messages."""

    connections: int | None = None
    gap: float = 0.0

    @property
    def active(self) -> bool:
        """Whether it slows anything."""
        return self.connections is not None

    def slower(self, most: int) -> "Throttle":
        """Give the step down; `most` is the account's number of connections."""
        now = min(self.connections or most, most)
        if now > 1:
            return Throttle(now // 2)
        return Throttle(1, min(max(_FIRST_GAP, 2 * self.gap), _LONGEST_GAP))

    def faster(self, most: int) -> "Throttle":
        """Give the step up."""
        if self.gap:
            return Throttle(self.connections, self.gap / 2 if self.gap > _FIRST_GAP else 0.0)
        if self.connections is None or self.connections + 1 >= most:
            return Throttle()
        return Throttle(self.connections + 1)
