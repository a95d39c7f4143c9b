"""How much a lane may hold: about what it sends in a second. Pure; instants are arguments."""

LEAST_PER_CONNECTION = 4
MOST = 1000
_MEASURE_SECONDS = 0.25


class Pace:
    """Measures how fast a lane sends and says how many deliveries it may hold claimed.

    What it holds is what a crash makes doubtful, and what other replicas cannot take.
    """

    def __init__(self, now: float) -> None:
        self._since = now
        self._done = 0
        self._rate = 0.0

    def done(self, count: int) -> None:
        """`count` deliveries were attempted."""
        self._done += count

    def target(self, now: float, connections: int) -> int:
        """Give how many the lane may hold at `now` (monotonic seconds)."""
        elapsed = now - self._since
        if elapsed >= _MEASURE_SECONDS:
            self._rate = self._done / elapsed
            self._since, self._done = now, 0
        return max(LEAST_PER_CONNECTION * connections, min(MOST, int(self._rate)))
