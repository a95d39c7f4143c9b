"""The entry of every process: children of a run go straight to their role, people to the CLI."""

import sys

from mailproxy_server.app.roles import MODULES, run_role, run_upgrade


def main() -> None:
    """Run what the command line asks for."""
    if len(sys.argv) == 5 and sys.argv[1] in MODULES:
        sys.exit(run_role(sys.argv[1], *map(int, sys.argv[2:])))
    if sys.argv[1:] == ["upgrade"]:
        sys.exit(run_upgrade())
    from mailproxy_server.cli.root import app

    app()


if __name__ == "__main__":
    main()
