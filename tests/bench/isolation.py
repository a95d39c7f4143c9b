"""`python -m tests.bench isolation`: what a hanging relay with much mail behind it costs others.

One message at a time goes by a good account, in rounds that take turns: in every other one the
account of the hanging relay is paused. So both sides meet the same machine.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailproxy import MailProxyClient

from tests.bench.idle import one
from tests.bench.processes import LOOPBACK
from tests.bench.proxy import TOKEN, Proxy
from tests.bench.runs import Callers
from tests.bench.sink import Sink
from tests.bench.tables import number, say, show_table, show_targets
from tests.bench.targets import ISOLATION_P99, Target

BACKLOG = 50_000
ROUNDS, MESSAGES = 4, 100
WARM_UP = 20


@contextmanager
def hanging_relay() -> Iterator[int]:
    """Listen and accept, and never say a word; gives the port."""
    kept: list[socket.socket] = []
    with socket.create_server((LOOPBACK, 0), backlog=128) as server:

        def accept() -> None:
            while True:
                try:
                    kept.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for each in kept:
                each.close()


def measure(python: Path, scratch: Path) -> dict[str, object]:
    """Measure both sides, print a table, and give the figures for programs."""
    with Sink() as sink, hanging_relay() as port, Proxy(python, scratch / "proxy") as proxy:
        stuck = Callers(python, proxy, port, "batch raw", scratch / "stuck.log", account="hanging")
        stuck.go(BACKLOG)
        stuck.stop()
        say(f"{BACKLOG:,} messages wait behind the hanging relay")
        good = Callers(python, proxy, sink.port, "unary raw", scratch / "good.log")
        waits: dict[str, list[float]] = {"quiet": [], "beside it": []}
        with MailProxyClient(proxy.target, TOKEN, timeout=60) as client:
            for round_no in range(2 * ROUNDS):
                if round_no % 2:
                    client.resume_queue(account="hanging")
                else:
                    client.pause_queue(account="hanging")
                for _ in range(WARM_UP):
                    one(good, sink)
                side = waits["beside it" if round_no % 2 else "quiet"]
                side += [one(good, sink) for _ in range(MESSAGES)]
        good.stop()
    return show(waits)


def show(waits: dict[str, list[float]]) -> dict[str, object]:
    """Print both sides and hold their ratio against what is wanted."""
    figures = {
        side: {f"p{part}_ms": 1000 * sorted(all_)[len(all_) * part // 100] for part in (50, 99)}
        for side, all_ in waits.items()
    }
    rows = [
        (side, number(each["p50_ms"], 1), number(each["p99_ms"], 1))
        for side, each in figures.items()
    ]
    show_table("From submit to the relay's 250, one at a time", ("", "p50 ms", "p99 ms"), rows)
    ratio = figures["beside it"]["p99_ms"] / figures["quiet"]["p99_ms"]
    wanted = [Target("p99 beside a hanging relay, times quiet", ratio, ISOLATION_P99, at_most=True)]
    show_targets(wanted)
    return {"sides": figures, "targets": [each.facts() for each in wanted]}
