"""What the figures shall be at least, and whether they are. Pure; prints nothing."""

import dataclasses

# End to end against Postfix in the same run, raw MIME.
THROUGHPUT = {"unary raw": 1.8, "client raw": 4.0, "batch raw": 6.0}
IDLE_P50_MS = 10.0
IDLE_PSS_MIB = 250.0
LONG_RUN = 0.9
CALLER_WAITS_LESS = 20.0
# Share of the direct sender's total time, by number of messages, over one connection.
ONE_CONNECTION = {5: 1 / 3, 100: 1 / 8}
DEFAULT_POOL = {100: 1 / 10}
ISOLATION_P99 = 1.5
COMPOSING = 0.5


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """A figure that was measured beside the one that is wanted."""

    what: str
    value: float
    wanted: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether it is as good as wanted."""
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted

    def facts(self) -> dict[str, object]:
        """Give everything for programs."""
        return {**dataclasses.asdict(self), "met": self.met}


def long_run_ratio(arrivals: tuple[float, ...]) -> float:
    """Give the rate of all messages over that of the first stretch.

    `arrivals` are the seconds until each stretch had arrived.
    """
    return len(arrivals) * arrivals[0] / arrivals[-1]
