"""How many bytes of requests this process holds at once, and the bound on them."""

from types import TracebackType

from mailproxy_server.mail.errors import Unavailable


class Budget:
    """A bound on the bytes of requests in flight; `used` of `limit` are taken."""

    __slots__ = ("limit", "used")

    def __init__(self, limit: int):
        self.limit = limit
        self.used = 0

    def hold(self, size: int) -> "Held":
        """Give a context that holds `size` bytes; raises `Unavailable` when they do not fit.

        Alone a request always fits, or one larger than the budget could never pass.
        """
        if self.used and self.used + size > self.limit:
            raise Unavailable(
                "INFLIGHT_BYTES",
                f"requests of {self.used} bytes are in work, of {self.limit} allowed; "
                "send again in a moment",
                retry_after=0.5,
            )
        return Held(self, size)


class Held:
    """Bytes of one request, returned when the context ends."""

    __slots__ = ("_budget", "_size")

    def __init__(self, budget: Budget, size: int):
        self._budget = budget
        self._size = size

    def __enter__(self) -> None:
        self._budget.used += self._size

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._budget.used -= self._size
