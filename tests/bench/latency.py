"""`make bench-latency`: what a caller waits for when the relay is slow, beside smtplib.

The direct sender makes a connection for each message, as services do that send by themselves.
Ours is called by one caller of the client library, one message after the other; the account is
new in each case, so that no connection is open yet.
"""

import dataclasses
import smtplib
import statistics
import sys
import time
from pathlib import Path

from tests.bench import targets
from tests.bench.processes import LOOPBACK, Program
from tests.bench.proxy import Proxy
from tests.bench.runs import Callers
from tests.bench.submitter import SENDER, raw, recipient
from tests.bench.tables import number, say, show_table, show_targets
from tests.bench.targets import Target

NUMBERS = (1, 5, 100)
POOLS = {"one connection": 1, "default pool": 10}
RELAY = Path(__file__).with_name("relay.py")


@dataclasses.dataclass(frozen=True, slots=True)
class Case:
    """What one sender showed for a number of messages, in seconds."""

    sender: str
    messages: int
    caller: float
    """What the caller waited for one message, the median."""
    total: float
    """From the first call until the relay had accepted the last message."""


def direct(messages: int, port: int, relay: Program) -> Case:
    """Send by smtplib, a connection for each message."""
    began, waits = time.monotonic(), []
    for each in range(messages):
        call = time.monotonic()
        with smtplib.SMTP(LOOPBACK, port, timeout=30) as client:
            client.login("bench", "secret")
            client.sendmail(SENDER, [recipient(each)], raw(each))
        waits.append(time.monotonic() - call)
    return Case("direct", messages, statistics.median(waits), arrived(messages, relay) - began)


@dataclasses.dataclass(frozen=True, slots=True)
class Ours:
    """Sends through the proxy, by a new account in each case."""

    python: Path
    proxy: Proxy
    port: int
    relay: Program
    log: Path

    def case(self, sender: str, connections: int, messages: int) -> Case:
        """Send `messages` over at most so many connections."""
        callers = Callers(
            self.python,
            self.proxy,
            self.port,
            "client raw",
            self.log,
            account=f"{sender.replace(' ', '-')}-{messages}",
            password="secret",
            callers=1,
            connections=connections,
        )
        try:
            seen = callers.go(messages)
            total = arrived(messages, self.relay) - seen["began"]
        finally:
            callers.stop()
        return Case(sender, messages, seen["p50_ms"] / 1000, total)


def arrived(messages: int, relay: Program) -> float:
    """Wait until the relay accepted so many more messages; gives the time of the last one."""
    return max(float(relay.hear(60)) for _ in range(messages))


def measure(python: Path, scratch: Path) -> dict[str, object]:
    """Measure both, print a table, and give the figures for programs."""
    relay = Program([sys.executable, str(RELAY)], scratch / "relay.log")
    try:
        port = int(relay.hear(10))
        cases = [direct(messages, port, relay) for messages in NUMBERS]
        say("the direct sender is done")
        with Proxy(python, scratch / "proxy") as proxy:
            ours = Ours(python, proxy, port, relay, scratch / "callers.log")
            ours.case("warm-up", 1, 5)
            cases += [
                ours.case(sender, connections, messages)
                for sender, connections in POOLS.items()
                for messages in NUMBERS
            ]
    finally:
        relay.stop()
    show(cases)
    wanted = judge(cases)
    show_targets(wanted)
    return {
        "cases": [dataclasses.asdict(each) for each in cases],
        "targets": [each.facts() for each in wanted],
    }


def judge(cases: list[Case]) -> list[Target]:
    """Hold the figures against those that are wanted."""
    by = {(case.sender, case.messages): case for case in cases}
    wanted = [
        Target(
            f"caller waits, times less: {sender}, {messages}",
            by["direct", messages].caller / by[sender, messages].caller,
            targets.CALLER_WAITS_LESS,
        )
        for sender in POOLS
        for messages in NUMBERS
    ]
    shares = {"one connection": targets.ONE_CONNECTION, "default pool": targets.DEFAULT_POOL}
    return wanted + [
        Target(
            f"total time, share of direct: {sender}, {messages}",
            by[sender, messages].total / by["direct", messages].total,
            share,
            at_most=True,
        )
        for sender, limits in shares.items()
        for messages, share in limits.items()
    ]


def show(cases: list[Case]) -> None:
    """Print a line for each case."""
    base = {case.messages: case for case in cases if case.sender == "direct"}
    rows = [
        (
            case.sender,
            number(case.messages),
            number(1000 * case.caller, 1),
            number(base[case.messages].caller / case.caller, 1),
            number(case.total, 2),
            number(case.total / base[case.messages].total, 3),
        )
        for case in cases
    ]
    columns = ("", "messages", "caller waits ms", "times less", "total s", "of direct")
    show_table("A relay of 300 ms to greet, 200 ms for AUTH, 50 ms a message", columns, rows)
