"""A collector beside a measured server, in a thread of the benchmark's: not the server's CPU."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tests.bench.tables import say
from tests.support.collector import Collector, collecting


@contextlib.contextmanager
def tracing(share: float | None) -> Iterator[dict[str, str]]:
    """Give the variables by which a server traces this share of its calls; none without one."""
    if share is None:
        yield {}
        return
    ready, ended = threading.Event(), threading.Event()
    found: list[Collector] = []

    async def collect() -> None:
        async with collecting() as collector:
            found.append(collector)
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(collect()), daemon=True)
    thread.start()
    ready.wait(20)
    sampling = {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(share),
        "OTEL_BSP_SCHEDULE_DELAY": "5000",
    }
    try:
        yield found[0].environment | sampling
    finally:
        ended.set()
        thread.join()
        say(f"the collector was given {len(found[0].spans)} spans")
