"""A PostgreSQL of its own whose clock is set while it runs, by libfaketime.

with settable_cluster() as (cluster, clock):
    clock.set(-3600)
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import require
from tests.support.postgres import Cluster, running_cluster
from tests.support.postgres_of import PostgresOf


@dataclass
class Clock:
    """How far a PostgreSQL's clock is from the right one; it reads the file each time it asks."""

    file: Path

    def set(self, seconds: int) -> None:
        """Set it to so many seconds ahead, from one moment to the next."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n")
        new.chmod(0o644)
        new.rename(self.file)


@contextlib.contextmanager
def settable_cluster() -> Iterator[tuple[Cluster, Clock]]:
    """Run one, as right as ours at first; what else it times is not touched."""
    programs, library = Path(require("postgresql-15")).parent, require("faketime")
    clocks: list[Clock] = []

    def make(folder: Path) -> PostgresOf:
        clocks.append(Clock(folder / "clock"))
        clocks[0].set(0)
        variables = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(clocks[0].file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        return PostgresOf(programs, folder, variables)

    with running_cluster(make) as cluster:
        yield cluster, clocks[0]
