"""`mailproxy serve` whose dispatchers' heartbeats come back late after the database was away.

A program: with MAILPROXY_TEST_BY_CLOCK they also judge one another by the clock alone, which is the
control arm of the rule that a lease runs only while the database takes heartbeats.
"""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailproxy_server.app import dispatch, roles
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.cli.root import app
from mailproxy_server.dispatcher.lease import Deaths, Lease
from mailproxy_server.queue.workers import Seen
from mailproxy_server.settings import Settings

PROGRAM = (sys.executable, "-P", str(Path(__file__)))


class Late(Lease):
    def _until_next(self) -> float:
        return max(super()._until_next(), self.seconds / 2 if self.is_late() else 0.0)


class Hasty(Deaths):
    def judge(self, others: Sequence[Seen]) -> list[Seen]:
        now = datetime.now(UTC)
        return [
            each for each in others if each.beat_at + timedelta(seconds=each.lease_seconds) < now
        ]


async def run(settings: Settings, lifeline: Lifeline, database_url: str) -> None:
    deaths = Hasty if "MAILPROXY_TEST_BY_CLOCK" in os.environ else Deaths
    seams = dispatch.Seams(lease=Late, deaths=deaths)
    await dispatch.run(settings, lifeline, database_url, seams)


def main() -> None:
    if len(sys.argv) == 5 and sys.argv[1] in roles.MODULES:
        roles.MODULES["dispatcher"] = "__main__"
        sys.exit(roles.run_role(sys.argv[1], *map(int, sys.argv[2:])))
    app(obj=PROGRAM)


if __name__ == "__main__":
    main()
