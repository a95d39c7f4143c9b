"""Owns one measured run: warm up, measure, count at the sink; and the facts it gives."""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

from tests.bench.postfix import Postfix
from tests.bench.processes import LOOPBACK, BenchError, Program
from tests.bench.proxy import GROUPS, TOKEN, Proxy
from tests.bench.sink import Sink
from tests.bench.usage import Groups, Usage

POSTFIX, KEPT, MUTE = "Postfix", "Postfix, sessions kept", "Postfix, sessions kept, no log"
WARM_UP = 500
SIZE = 2048
SUBMITTER = Path(__file__).with_name("submitter.py")
CALLERS = {"unary": 64, "client": 64, "batch": 4}
STRIDE = 10_000  # messages between two entries of `arrivals`
SLOWEST = 20  # messages a second, below which a run is given up


@dataclasses.dataclass(frozen=True, slots=True)
class Run:
    """What one run showed. CPU is in milliseconds a message, which is seconds per 1,000."""

    name: str
    messages: int
    accepted_per_s: float
    end_to_end_per_s: float
    p50_ms: float | None
    p99_ms: float | None
    cpu_ms: dict[str, float]
    pss_mib: dict[str, float]
    elsewhere: float
    """Share of the machine that was busy with what is not part of the run."""
    arrivals: tuple[float, ...] = ()
    """Seconds from the first submission until each tenth thousand had arrived."""

    @property
    def server_cpu_ms(self) -> float:
        """CPU of the relaying side alone, without callers and sink."""
        return sum(self.cpu_ms.get(name, 0.0) for name in (*GROUPS, "Postfix"))

    def facts(self) -> dict[str, object]:
        """Give everything for programs."""
        return {**dataclasses.asdict(self), "server_cpu_ms": self.server_cpu_ms}


class Callers:
    """A submitter process against `proxy`, whose account relays to the port `relay`.

    `more`: further options of the submitter.
    """

    def __init__(
        self, python: Path, proxy: Proxy, relay: int, kind: str, log: Path, **more: str | int
    ):
        mode, content = kind.split()
        options: dict[str, str | int] = {
            "mode": mode,
            "content": content,
            "target": proxy.target,
            "token": TOKEN,
            "relay": f"{LOOPBACK}:{relay}",
            "callers": CALLERS[mode],
            **more,
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self._program = Program([str(python), str(SUBMITTER), *words], log)
        self.pid = self._program.pid
        self._program.hear(30)

    def go(self, count: int) -> dict[str, float]:
        """Submit `count` messages; gives what the callers saw, after the last answer."""
        self._program.say(f"go {count}")
        seen: dict[str, float] = json.loads(self._program.hear(30 + count / SLOWEST))
        return seen

    def stop(self) -> None:
        """End the process."""
        self._program.stop()


@contextlib.contextmanager
def warm(
    python: Path, folder: Path, kind: str, variables: Mapping[str, str] | None = None
) -> Iterator[Callable[[int], Run]]:
    """Run a proxy, a sink and callers, warmed up; gives what measures so many messages, again and
    again. `kind` is how and what is submitted, as "unary raw"; `variables` are of the proxy's
    environment."""
    with Sink() as sink, Proxy(python, folder, **(variables or {})) as proxy:
        callers = Callers(python, proxy, sink.port, kind, folder / "callers.log")

        def groups() -> Groups:
            return {
                **proxy.processes(),
                "callers": [psutil.Process(callers.pid)],
                **own_processes(sink),
            }

        def measure(messages: int) -> Run:
            before, usage = sink.count, Usage(groups)
            with usage.measured():
                seen = callers.go(messages)
                end = sink.wait(before + messages, 30 + messages / SLOWEST)
            return checked(kind, messages, seen, end, usage, sink, before)

        try:
            callers.go(WARM_UP)
            sink.wait(WARM_UP, 30 + WARM_UP / SLOWEST)
            yield measure
        finally:
            callers.stop()


def run_proxy(python: Path, folder: Path, kind: str, messages: int) -> Run:
    """Measure a proxy once."""
    with warm(python, folder, kind) as measure:
        return measure(messages)


def run_postfix(name: str, folder: Path, messages: int) -> Run:
    """Measure Postfix at the same job, as its name says."""
    keep = name != POSTFIX
    with Sink() as sink, Postfix(folder, sink.port, log=name != MUTE) as postfix:
        postfix.feed(WARM_UP, SIZE, keep=keep)
        sink.wait(WARM_UP, 30 + WARM_UP / SLOWEST)
        usage = Usage(lambda: {**postfix.processes(), **own_processes(sink)})
        with usage.measured():
            began = time.monotonic()
            postfix.feed(messages, SIZE, keep=keep)
            seen = {"began": began, "ended": time.monotonic()}
            end = sink.wait(WARM_UP + messages, 30 + messages / SLOWEST)
    return checked(name, messages, seen, end, usage, sink)


def own_processes(sink: Sink) -> Groups:
    """The sink, and this process with what it waited for."""
    return {"sink": [psutil.Process(sink.pid)], "bench": [psutil.Process()]}


def checked(
    name: str,
    messages: int,
    seen: dict[str, float],
    end: float,
    usage: Usage,
    sink: Sink,
    before: int = WARM_UP,
) -> Run:
    """Give the facts of a run that is over.

    `before`: how many the sink had counted when it began. Raises BenchError unless the sink got
    each message once since: nothing failed in a run.
    """
    if sink.count != before + messages:
        raise BenchError(f"the sink counted {sink.count - before}, not {messages} messages")
    seconds = end - seen["began"]
    marks = range(STRIDE, messages + 1, STRIDE)
    return Run(
        name=name,
        messages=messages,
        accepted_per_s=messages / (seen["ended"] - seen["began"]),
        end_to_end_per_s=messages / seconds,
        p50_ms=seen.get("p50_ms"),
        p99_ms=seen.get("p99_ms"),
        cpu_ms={group: 1000 * spent / messages for group, spent in usage.cpu.items()},
        pss_mib=usage.peak,
        elsewhere=usage.elsewhere / (seconds * (os.cpu_count() or 1)),
        arrivals=tuple(sink.when(before + mark) - seen["began"] for mark in marks),
    )
