"""What every line of the log passes: ids of the trace, addresses masked, repetition limited.

The processors of structlog; `logs` strings them together.
"""

import re
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from mailproxy_server.telemetry.tracing import unrecorded

Event = MutableMapping[str, Any]

DELIVERY = "delivery"
"""`kind` of the lines about single deliveries, which are not limited: who wants them wants all."""

BURST = 20
"""Lines of one event that are written within WINDOW_SECONDS."""
WINDOW_SECONDS = 10.0

_ADDRESS = re.compile(r"[^\s<>@\"'(),;:=\[\]]+@(?=[\w\[])")


def mask(text: str) -> str:
    """Give a text with the local parts of all addresses masked; their domains stay."""
    return _ADDRESS.sub("***@", text) if "@" in text else text


def masked(_logger: Any, _method: str, event: Event) -> Event:
    """Mask addresses in all that a line says, traceback included."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = mask(value)
        elif isinstance(value, list | tuple):
            event[key] = [mask(each) if isinstance(each, str) else each for each in value]
    return event


def traced(_logger: Any, _method: str, event: Event) -> Event:
    """Name the trace that a line is part of, where there is one."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is not None and "trace_id" not in event:
        context = trace.get_current_span().get_span_context()
        if context.is_valid:
            event["trace_id"] = f"{context.trace_id:032x}"
            event["span_id"] = f"{context.span_id:016x}"
        elif passed_on := unrecorded.get():
            _, event["trace_id"], event["span_id"], _ = passed_on.split("-")
    return event


class Limited:
    """Drops what repeats: of each event BURST lines a window; the next one says how many went."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._windows: dict[str, list[float]] = {}

    def __call__(self, _logger: Any, _method: str, event: Event) -> Event:
        """Let a line pass, or raise DropEvent."""
        if event.get("kind") == DELIVERY:
            return event
        now, name = self._clock(), str(event.get("event", ""))[:200]
        window = self._windows.get(name)
        if window is None or now - window[0] >= WINDOW_SECONDS:
            if window is not None and window[1] > BURST:
                event["suppressed"] = int(window[1] - BURST)
            if len(self._windows) > 1000:
                self._windows.clear()
            self._windows[name] = [now, 1]
            return event
        window[1] += 1
        if window[1] > BURST:
            raise structlog.DropEvent
        return event
