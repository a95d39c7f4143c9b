"""Shows figures to people. Measures and decides nothing."""

import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tests.bench.proxy import GROUPS
from tests.bench.runs import Run
from tests.bench.targets import Target

BUSY = 0.1  # share of the machine, past which its rates say little
# Rich takes 80 columns where it does not see a terminal: too few for these tables.
console = Console(width=None if sys.stdout.isatty() else 150)


def say(line: str) -> None:
    """Print a line."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def number(value: float | None, digits: int = 0) -> str:
    """Give a number as text, or a dash."""
    return "–" if value is None else f"{value:,.{digits}f}"


def show_table(title: str, columns: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table: its first column is text, the others are numbers."""
    made = Table()
    for at, column in enumerate(columns):
        made.add_column(column, justify="right" if at else "left", no_wrap=True)
    for row in rows:
        made.add_row(*row)
    say(f"\n{title}")
    console.print(made)


def show_runs(runs: list[Run], peers: dict[str, float]) -> None:
    """Print the throughput, its ratio to each of the peers' rates, and what it cost."""
    before = ("", "messages", "accepted/s", "end to end/s")
    after = ("p50 ms", "p99 ms", "elsewhere %")
    rows = [
        (
            run.name,
            number(run.messages),
            number(run.accepted_per_s),
            number(run.end_to_end_per_s),
            *(number(run.end_to_end_per_s / rate, 2) for rate in peers.values()),
            number(run.p50_ms, 1),
            number(run.p99_ms, 1),
            number(100 * run.elsewhere),
        )
        for run in runs
    ]
    show_table("Throughput", (*before, *(f"× {peer}" for peer in peers), *after), rows)
    show_costs(runs)
    say_busy(runs)


def show_costs(runs: list[Run]) -> None:
    """Print CPU by process and peak memory."""
    names = (*GROUPS, "Postfix", "callers", "sink")
    cpu = (
        (run.name, number(run.server_cpu_ms, 3), *(number(run.cpu_ms.get(n), 3) for n in names))
        for run in runs
    )
    show_table("CPU seconds per 1,000 messages", ("", "relaying side", *names), cpu)
    memory = ((run.name, *(number(run.pss_mib.get(name)) for name in names)) for run in runs)
    show_table("Peak memory, MiB of PSS", ("", *names), memory)


def say_busy(runs: list[Run]) -> None:
    """Say how busy the machine was with what is not part of the runs."""
    share = max(run.elsewhere for run in runs)
    verdict = "so take the rates with care" if share > BUSY else "so the rates can be trusted"
    say(f"\nUp to {share:.0%} of the machine was busy with other things, {verdict}.")


def show_targets(wanted: Iterable[Target]) -> None:
    """Print each figure beside the one that is wanted."""
    rows = [
        (
            each.what,
            number(each.value, 2),
            f"{'≤' if each.at_most else '≥'} {number(each.wanted, 2)}",
            "met" if each.met else "SHORT",
        )
        for each in wanted
    ]
    show_table("Wanted", ("", "measured", "wanted", ""), rows)
