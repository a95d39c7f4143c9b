"""Tells others what a dispatcher has done: by notification, and by the log."""

import time
from collections.abc import Callable, Collection, Sequence
from uuid import UUID

import structlog

from mailproxy_server.dispatcher.lease import Backlog
from mailproxy_server.dispatcher.recording import Recording
from mailproxy_server.dispatcher.relays import Key
from mailproxy_server.queue import wake
from mailproxy_server.queue.outbox import Refused
from mailproxy_server.queue.settle import Settlement

_AGAIN_SECONDS = 30.0
"""Between two lines that say the same of outcomes that cannot be written."""

log = structlog.get_logger()


class Crier:
    """Rings the bell; `recording` and `settled` are told of every batch of outcomes as well."""

    def __init__(
        self,
        bell: wake.Bell,
        recording: Recording,
        settled: Callable[[Sequence[Settlement]], None],
    ) -> None:
        self._bell = bell
        self._recording = recording
        self._settled = settled
        self._blocked_until = 0.0

    def settled(self, batch: Sequence[Settlement], lost: int = 0) -> None:
        """Outcomes were written; `lost` of them came after the lease was lost."""
        self._bell.ring(wake.REPORTS, {str(each.claimed.tenant_id) for each in batch})
        self._recording.settled(batch)
        self._settled(batch)
        if lost:
            log.warning("settlements came after the lease was lost", count=lost)

    def blocked(self, backlog: Backlog, error: Exception | None) -> None:
        """Outcomes cannot be written; or, without an error, can be again."""
        if error is None:
            log.warning("outcomes are written to the database again", waiting=backlog.unwritten)
            self._blocked_until = 0.0
        elif time.monotonic() >= self._blocked_until:
            self._blocked_until = time.monotonic() + _AGAIN_SECONDS
            why = str(error.__cause__ or error) or type(error).__name__
            log.error(
                "outcomes of attempts cannot be written to the database; they are kept, and "
                "nothing new is claimed",
                waiting=backlog.unwritten, oldest_seconds=round(backlog.seconds, 1), why=why,
            )  # fmt: skip

    def rescued(self, batch: Sequence[Settlement]) -> None:
        """What a dead dispatcher held was brought back."""
        log.warning("deliveries of a dead dispatcher were brought back", count=len(batch))
        self._recording.rescued(batch)
        self.settled(batch)

    def changed(self, key: Key) -> None:
        """An account's breaker or throttle has changed."""
        log.warning("an account's relay fares otherwise than before", account=key[1])
        self._bell.ring(wake.ACCOUNTS, [f"{key[0]}/{key[1]}"])
        self._bell.ring(wake.REPORTS, [str(key[0])])

    def moved(self, accounts: Collection[str], refused: Sequence[Refused]) -> None:
        """Rows of the outbox were queued for these accounts, or refused."""
        if accounts:
            self._bell.ring(wake.DUE, accounts)
        tenants = [row.tenant_id for row in refused if row.tenant_id]
        if tenants:
            self._bell.ring(wake.REPORTS, set(map(str, tenants)))
            self._recording.refused(tenants)

    @staticmethod
    def bug(message_id: UUID, error: Exception) -> None:
        """A message could not be attempted, by a fault of ours."""
        log.error("a message could not be attempted", message_id=str(message_id), exc_info=error)
