"""`mailproxy serve` whose breakers are tried after fractions of a second: minutes in seconds.

A program.
"""

import sys
from pathlib import Path

from mailproxy_server.app import dispatch, roles
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.cli.root import app
from mailproxy_server.policy import breaker
from mailproxy_server.policy.breaker import Probing, Sign
from mailproxy_server.settings import Settings

PROGRAM = (sys.executable, "-P", str(Path(__file__)))


async def run(settings: Settings, lifeline: Lifeline, database_url: str) -> None:
    breaker.PROBING[Sign.FAULT] = Probing(0.3, 1.2)
    await dispatch.run(settings, lifeline, database_url)


def main() -> None:
    if len(sys.argv) == 5 and sys.argv[1] in roles.MODULES:
        roles.MODULES["dispatcher"] = "__main__"
        sys.exit(roles.run_role(sys.argv[1], *map(int, sys.argv[2:])))
    app(obj=PROGRAM)


if __name__ == "__main__":
    main()
