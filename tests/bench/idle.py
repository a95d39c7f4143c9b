"""Measures a proxy at rest: how long from a submit to the relay's 250, and how much memory."""

import statistics
import time
from pathlib import Path

from tests.bench.proxy import Proxy
from tests.bench.runs import Callers
from tests.bench.sink import Sink
from tests.bench.usage import pss_by_group

MESSAGES = 200
WARM_UP = 20
REST = 0.05  # seconds between two messages, in which the proxy comes to rest


def run_idle(python: Path, folder: Path) -> dict[str, float]:
    """Send one message at a time; milliseconds until its 250, and MiB of PSS by process."""
    with Sink() as sink, Proxy(python, folder) as proxy:
        callers = Callers(python, proxy, sink.port, "unary raw", folder / "callers.log")
        memory = pss_by_group(proxy.processes())
        try:
            waits = [one(callers, sink) for _ in range(WARM_UP + MESSAGES)][WARM_UP:]
        finally:
            callers.stop()
    own = sum(mib for name, mib in memory.items() if name != "PostgreSQL")
    return {
        "p50_ms": 1000 * statistics.median(waits),
        "p99_ms": 1000 * sorted(waits)[MESSAGES * 99 // 100],
        "pss_mib": own,
        "postgresql_pss_mib": memory["PostgreSQL"],
    }


def one(callers: Callers, sink: Sink) -> float:
    """Submit one message and give the seconds until the sink had accepted it."""
    time.sleep(REST)
    wanted = sink.count + 1
    seen = callers.go(1)
    return sink.wait(wanted, 30) - seen["began"]
