"""One set of numbers for all processes of a run, by prometheus-client's multi-process files.

A process writes into files of its own name, "front-0": one that was started again goes on with
the counts of the one before. Call `join` before `meters` is imported.
"""

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, values
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
"""Names the folder of the files; the supervisor makes it, for its children alone."""


def join(process: str) -> None:
    """Write this process's numbers into the run's files, where there are any."""
    if VARIABLE in os.environ:
        values.ValueClass = values.MultiProcessValue(_named(process))  # type: ignore[no-untyped-call]


def gathered(own: CollectorRegistry, *more: Collector) -> CollectorRegistry:
    """Give the numbers of all processes of the run, or this one's `own`, and those of `more`."""
    registry = CollectorRegistry()
    if VARIABLE in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(own)
    for each in more:
        registry.register(each)
    return registry


def _named(process: str) -> Callable[[], int]:
    # An underscore would end the name within a file's name.
    return lambda: process.replace("_", "-")  # type: ignore[return-value]
