"""`mailproxy serve` whose dispatchers send a final dot whether they hold their lease or not.

A program: the control arm of the check before the dot.
"""

import sys
from pathlib import Path

from mailproxy_server.app import dispatch, roles
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.cli.root import app
from mailproxy_server.dispatcher.lease import Lease
from mailproxy_server.settings import Settings

PROGRAM = (sys.executable, "-P", str(Path(__file__)))


class Heedless(Lease):
    def may_dot(self) -> None:
        return None


async def run(settings: Settings, lifeline: Lifeline, database_url: str) -> None:
    await dispatch.run(settings, lifeline, database_url, dispatch.Seams(lease=Heedless))


def main() -> None:
    if len(sys.argv) == 5 and sys.argv[1] in roles.MODULES:
        roles.MODULES["dispatcher"] = "__main__"
        sys.exit(roles.run_role(sys.argv[1], *map(int, sys.argv[2:])))
    app(obj=PROGRAM)


if __name__ == "__main__":
    main()
