"""`make bench`: how fast messages go in and out, beside Postfix at the same job in the same run."""

import itertools
import statistics
from pathlib import Path

from tests.bench import idle, targets
from tests.bench.postfix import missing
from tests.bench.runs import KEPT, MUTE, POSTFIX, Run, run_postfix, run_proxy
from tests.bench.tables import say, show_runs, show_targets
from tests.bench.targets import Target, long_run_ratio

KINDS = tuple(
    f"{mode} {content}" for content in ("raw", "composed") for mode in ("unary", "client", "batch")
)


def measure(python: Path, scratch: Path, messages: int, long: int) -> dict[str, object]:
    """Run everything once, print tables, and give the figures for programs.

    Postfix goes first and last, so that a machine that changes its pace shows.
    """
    folders = (scratch / str(number) for number in itertools.count())
    reason = missing()
    if reason:
        say(f"without Postfix: {reason}")
    turns = () if reason else (POSTFIX, KEPT, MUTE)
    peers = [told(run_postfix(name, next(folders), messages)) for name in turns]
    ours = [told(run_proxy(python, next(folders), kind, messages)) for kind in KINDS]
    peers += [told(run_postfix(name, next(folders), messages)) for name in turns]
    steady = told(run_proxy(python, next(folders), "batch raw", long)) if long else None
    rest = idle.run_idle(python, next(folders))
    rates = rates_of(peers)
    show_runs([*peers, *ours, *([steady] if steady else [])], rates)
    say(
        f"At rest: submit to 250 in {rest['p50_ms']:.1f} ms (p50), {rest['p99_ms']:.1f} ms (p99); "
        f"{rest['pss_mib']:.0f} MiB of PSS, PostgreSQL {rest['postgresql_pss_mib']:.0f} more."
    )
    wanted = judge(ours, rates.get(POSTFIX), steady, rest)
    show_targets(wanted)
    return {
        "messages": messages,
        "runs": [run.facts() for run in (*peers, *ours)],
        "ratios": {
            peer: {run.name: run.end_to_end_per_s / rate for run in ours}
            for peer, rate in rates.items()
        },
        "long": steady.facts() if steady else None,
        "idle": rest,
        "targets": [each.facts() for each in wanted],
    }


def rates_of(peers: list[Run]) -> dict[str, float]:
    """Give the mean end-to-end rate of each peer."""
    return {
        name: statistics.mean(run.end_to_end_per_s for run in peers if run.name == name)
        for name in dict.fromkeys(run.name for run in peers)
    }


def told(run: Run) -> Run:
    """Say how a run went, as soon as it is over."""
    say(f"{run.name}: {run.messages} messages, {run.end_to_end_per_s:.0f}/s end to end")
    return run


def judge(
    ours: list[Run], peer: float | None, steady: Run | None, rest: dict[str, float]
) -> list[Target]:
    """Hold the figures against those that are wanted."""
    wanted = [
        Target(f"{run.name}, times Postfix", run.end_to_end_per_s / peer, ratio)
        for run in ours
        if peer and (ratio := targets.THROUGHPUT.get(run.name))
    ]
    if steady and steady.arrivals:
        stays = long_run_ratio(steady.arrivals)
        wanted.append(Target(f"{steady.messages} in one go keep", stays, targets.LONG_RUN))
    return [
        *wanted,
        Target("idle submit to 250, p50 ms", rest["p50_ms"], targets.IDLE_P50_MS, at_most=True),
        Target("idle PSS, MiB", rest["pss_mib"], targets.IDLE_PSS_MIB, at_most=True),
    ]
