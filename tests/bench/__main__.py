"""The benchmarks' command line; `make bench` and `make bench-latency` call it."""

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench import (
    composing,
    isolation,
    latency,
    pairs,
    retention,
    scale,
    throughput,
    writes,
)  # fmt: skip
from tests.bench.processes import BenchError
from tests.bench.traced import tracing


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument(
        "what",
        choices=("throughput", "latency", "isolation", "retention", "scale", "compose", "writes"),
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file, - for stdout")
    parser.add_argument("--messages", type=int, default=5_000)
    parser.add_argument("--long", type=int, default=60_000, help="messages in one go; 0: none")
    parser.add_argument("--base", help="measure beside this commit instead of beside Postfix")
    parser.add_argument(
        "--trace", type=float, metavar="SHARE",
        help="with --base: have this side trace this share of the calls, as 0.01",
    )  # fmt: skip
    parser.add_argument("--pairs", type=int, default=3, help="runs of each side, with --base")
    return parser.parse_args()


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder on a real disk, that other users may enter but not read."""
    with tempfile.TemporaryDirectory(prefix="mailproxy-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        folder.chmod(0o711)
        yield folder


def measure(options: argparse.Namespace, scratch: Path) -> dict[str, object]:
    """Do what was asked."""
    python = Path(sys.executable)
    if options.what == "compose":
        return composing.measure()
    if options.what == "retention":
        return retention.measure()
    if options.what == "scale":
        return scale.measure(scratch)
    if options.what == "writes":
        return writes.measure(scratch)
    if options.what == "isolation":
        return isolation.measure(python, scratch)
    if options.what == "latency":
        return latency.measure(python, scratch)
    if options.base:
        with tracing(options.trace) as variables:
            return pairs.measure(
                python, scratch, options.base, options.pairs, options.messages, variables
            )
    return throughput.measure(python, scratch, options.messages, options.long)


def main() -> int:
    """Measure, print, and write JSON where asked; 1 when something went wrong."""
    options = arguments()
    try:
        with scratch_folder() as scratch:
            figures = measure(options, scratch)
    except BenchError as error:
        print(f"the benchmark ended: {error}", file=sys.stderr)
        return 1
    machine = {"cpus": os.cpu_count(), "python": platform.python_version()}
    text = json.dumps({"benchmark": options.what, "machine": machine, **figures}, indent=2)
    if options.json == Path("-"):
        print(text)
    elif options.json:
        options.json.write_text(text + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
