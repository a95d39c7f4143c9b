"""`mailproxy serve` whose limited claims compare the database's clock with no other.

A program: the control arm of limits while that clock is set.
"""

import functools
import sys
from pathlib import Path

from mailproxy_server.app import dispatch, roles
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.cli.root import app
from mailproxy_server.dispatcher.rated import claim_within
from mailproxy_server.settings import Settings

PROGRAM = (sys.executable, "-P", str(Path(__file__)))


async def run(settings: Settings, lifeline: Lifeline, database_url: str) -> None:
    claim = functools.partial(claim_within, looked=lambda usage, _: usage)
    await dispatch.run(settings, lifeline, database_url, dispatch.Seams(claim_within=claim))


def main() -> None:
    if len(sys.argv) == 5 and sys.argv[1] in roles.MODULES:
        roles.MODULES["dispatcher"] = "__main__"
        sys.exit(roles.run_role(sys.argv[1], *map(int, sys.argv[2:])))
    app(obj=PROGRAM)


if __name__ == "__main__":
    main()
