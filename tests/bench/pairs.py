"""`make bench BASE=commit`: this checkout beside another commit, in interleaved pairs.

The other commit is checked out into the scratch folder, with an environment of its own. Both
sides run at the same time, are warmed up, and are measured in turns, so that what the machine
does meanwhile meets both alike.
"""

import contextlib
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from tests.bench.processes import BenchError, clean_environment
from tests.bench.proxy import GROUPS
from tests.bench.runs import Run, warm
from tests.bench.tables import number, say, say_busy, show_table

ROOT = Path(__file__).resolve().parents[2]
KINDS = ("unary raw", "client raw", "batch raw")


@contextlib.contextmanager
def other_checkout(commit: str, folder: Path) -> Iterator[Path]:
    """Check out `commit` below `folder` and give its Python."""
    git = ["git", "-C", str(ROOT), "worktree"]
    added = subprocess.run(
        [*git, "add", "--detach", str(folder), commit], capture_output=True, text=True
    )
    if added.returncode:
        raise BenchError(f"{commit} cannot be checked out: {added.stderr.strip()}")
    try:
        say(f"setting up {commit}")
        make = ["make", "--no-print-directory", "-C", str(folder), ".venv/run.stamp"]
        subprocess.run(make, check=True, env=clean_environment(MAKEFLAGS=""))
        yield folder / ".venv/bin/python"
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


def measure(
    python: Path,
    scratch: Path,
    commit: str,
    count: int,
    messages: int,
    variables: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """Run the pairs, print the ratios, and give them for programs: ours to the other's.

    Each pair is of servers just started: what is peculiar to one process is not to one side.

    `variables` are of our side's environment alone.
    """
    ratios: dict[str, dict[str, float]] = {}
    every: list[Run] = []
    with other_checkout(commit, scratch / "base") as other:
        for kind in KINDS:
            folder = scratch / kind.replace(" ", "-")
            runs = []
            for turn in range(count):
                with (
                    warm(python, folder / f"ours-{turn}", kind, variables) as ours,
                    warm(other, folder / f"base-{turn}", kind) as base,
                ):
                    runs += pairs(ours, base, messages // 2, turn)
                for a, b in runs[-2:]:
                    say(f"{kind}: {a.server_cpu_ms:.3f} against {b.server_cpu_ms:.3f} CPU ms")
            every += [run for both in runs for run in both]
            ratios[kind] = {
                "cpu": statistics.median(a.server_cpu_ms / b.server_cpu_ms for a, b in runs),
                "rate": statistics.median(a.end_to_end_per_s / b.end_to_end_per_s for a, b in runs),
                **{name: _median(name, runs) for name in GROUPS},
            }
    say_busy(every)
    show(commit, ratios)
    return {"base": commit, "pairs": count, "messages": messages, "ratios": ratios}


def pairs(
    ours: Callable[[int], Run], base: Callable[[int], Run], messages: int, turn: int
) -> list[tuple[Run, Run]]:
    """Measure both sides twice, whoever was first last again; gives ours and the other, twice."""
    one, two = (base, ours) if turn % 2 else (ours, base)
    first, second, third, fourth = one(messages), two(messages), two(messages), one(messages)
    both = [(first, second), (fourth, third)]
    return [pair[::-1] for pair in both] if turn % 2 else both


def _median(group: str, runs: list[tuple[Run, Run]]) -> float:
    """What one kind of process used, ours to the other's."""
    return statistics.median(a.cpu_ms[group] / max(b.cpu_ms[group], 1e-6) for a, b in runs)


def show(commit: str, ratios: dict[str, dict[str, float]]) -> None:
    """Print the medians of the pairs."""
    rows = [
        (kind, *(number(each[name], 3) for name in ("cpu", *GROUPS, "rate")))
        for kind, each in ratios.items()
    ]
    title = f"This checkout to {commit}, median of the pairs"
    show_table(title, ("", "CPU a message", *GROUPS, "rate"), rows)
