"""What a transaction may do: MAIL while its reservation holds, its dot while the lease does."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from mailproxy_server.dispatcher.clock import boottime
from mailproxy_server.mail.transcript import Fault, FaultKind


class Reserved(Protocol):
    """Room in the limits of an account, reserved for what was claimed with it."""

    def late(self, now: float) -> bool:
        """Whether MAIL may no longer leave at `now` (CLOCK_BOOTTIME, seconds)."""
        ...

    def at(self, instant: float) -> datetime:
        """Give an instant of CLOCK_BOOTTIME by the database's clock."""
        ...


class Permit:
    """Asked by the transaction before MAIL and before the final dot; for one attempt only.

    A reservation is good for one MAIL: one that was given to a connection found closed is used
    up all the same, since nobody knows what the relay saw of it.
    """

    def __init__(self, lease: Callable[[], Fault | None], reserved: Reserved | None) -> None:
        self._lease = lease
        self._reserved = reserved
        self.mail_at: datetime | None = None
        """When MAIL left, by the database's clock; None without a reservation."""

    def may_mail(self) -> Fault | None:
        """Say whether MAIL may leave now: None, or the fault that forbids it."""
        if self._reserved is None:
            return None
        now = boottime()
        if self.mail_at is not None or self._reserved.late(now):
            return Fault(FaultKind.LATE, "the reserved room in the limits was not used in time")
        self.mail_at = self._reserved.at(now)
        return None

    def may_dot(self) -> Fault | None:
        """Say whether the final dot may leave now: None, or the fault that forbids it."""
        return self._lease()
