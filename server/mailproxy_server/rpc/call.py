"""What a servicer knows of the call that it answers, besides the request."""

from collections.abc import Callable
from uuid import UUID


class Call:
    """One call, authenticated.

    `tenant_id` is whose it is; `traceparent` the call's W3C trace context or "" when it sent
    none; `size` the request's bytes on the wire, uncompressed. `release` returns their room: a
    stream that needs its request no more calls it; without that they count until it ends.
    """

    __slots__ = ("_time_remaining", "release", "size", "tenant_id", "traceparent")

    def __init__(
        self,
        tenant_id: UUID,
        traceparent: str,
        size: int,
        time_remaining: Callable[[], float | None],
    ):
        self.tenant_id = tenant_id
        self.traceparent = traceparent
        self.size = size
        self.release: Callable[[], None] = _nothing
        self._time_remaining = time_remaining

    def time_remaining(self) -> float | None:
        """Give the seconds until the caller's deadline, 0 when it passed, None without one."""
        return self._time_remaining()


def _nothing() -> None:
    """Do nothing: nothing is held."""
