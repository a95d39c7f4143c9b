"""Counts and times every call, by the names of gRFC A66. `write` publishes, once a second."""

import time

import grpc

from mailproxy_server.rpc.tracing import Context, Sizes
from mailproxy_server.telemetry import meters
from mailproxy_server.telemetry.pending import Pending
from mailproxy_server.telemetry.tally import Rising

Metered = tuple["_Method", float]
"""A call that began, and when."""


class _Method:
    """One RPC: how many calls began, and those that ended by their status."""

    __slots__ = ("ended", "name", "rising", "started")

    def __init__(self, name: str) -> None:
        self.name = name
        self.started = 0
        self.rising = Rising(meters.CALLS_STARTED.labels(name))
        self.ended: dict[grpc.StatusCode, tuple[Pending, Pending, Pending]] = {}

    def end(self, code: grpc.StatusCode) -> tuple[Pending, Pending, Pending]:
        """Give what is noted of calls that end with this status: time, and octets both ways."""
        found = self.ended.get(code)
        if found is None:
            labels = (self.name, code.name)
            found = self.ended[code] = (
                Pending(meters.CALLS.labels(*labels)),
                Pending(meters.CALLS_RECEIVED.labels(*labels)),
                Pending(meters.CALLS_SENT.labels(*labels)),
            )
        return found


class Metering:
    """A `Tracer` that keeps numbers only. Methods are those of the contract: labels stay few."""

    def __init__(self) -> None:
        self._methods: dict[tuple[str, str], _Method] = {}

    def start(self, service: str, method: str, context: Context) -> Metered:
        """Count a call that begins."""
        del context
        one = self._methods.get((service, method))
        if one is None:
            one = self._methods[service, method] = _Method(f"{service}/{method}")
        one.started += 1
        return one, time.perf_counter()

    def finish(self, started: Metered, code: grpc.StatusCode, sizes: Sizes) -> None:
        """Count a call that ended."""
        method, began = started
        took, received, sent = method.end(code)
        took.observe(time.perf_counter() - began)
        received.observe(sizes.received)
        sent.observe(sizes.sent)

    async def write(self) -> None:
        """Publish what was counted."""
        for method in self._methods.values():
            method.rising.reach(method.started)
            for ended in method.ended.values():
                for each in ended:
                    each.write()
