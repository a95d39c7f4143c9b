"""Counts and times every call, by the names of gRFC A66."""

import time
from dataclasses import dataclass

import grpc
from prometheus_client import Counter, Histogram

from mailproxy_server.rpc.tracing import Sizes
from mailproxy_server.telemetry import meters


@dataclass(frozen=True, slots=True)
class Metered:
    """A call that began."""

    method: str
    began: float


@dataclass(frozen=True, slots=True)
class _Ended:
    """What is written when calls of one method end with one status."""

    took: Histogram
    received: Histogram
    sent: Histogram


class Metering:
    """A `Tracer` that keeps numbers only. Methods are those of the contract: labels stay few."""

    def __init__(self) -> None:
        self._started: dict[str, Counter] = {}
        self._ended: dict[tuple[str, grpc.StatusCode], _Ended] = {}

    def start(self, service: str, method: str, traceparent: str) -> Metered:
        """Count a call that begins."""
        del traceparent
        name = f"{service}/{method}"
        started = self._started.get(name)
        if started is None:
            started = self._started[name] = meters.CALLS_STARTED.labels(name)
        started.inc()
        return Metered(name, time.perf_counter())

    def finish(self, started: Metered, code: grpc.StatusCode, sizes: Sizes) -> None:
        """Count a call that ended."""
        ended = self._ended.get((started.method, code))
        if ended is None:
            labels = (started.method, code.name)
            ended = self._ended[started.method, code] = _Ended(
                meters.CALLS.labels(*labels),
                meters.CALLS_RECEIVED.labels(*labels),
                meters.CALLS_SENT.labels(*labels),
            )
        ended.took.observe(time.perf_counter() - started.began)
        ended.received.observe(sizes.received)
        ended.sent.observe(sizes.sent)
