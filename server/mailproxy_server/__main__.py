"""The entry of every process: children of a run go straight to their role, people to the CLI."""

import sys

from mailproxy_server.app.roles import MODULES, run_role, run_upgrade


def main() -> None:
    """Run what the command line asks for."""
    if len(sys.argv) == 5 and sys.argv[1] in MODULES:
        sys.exit(run_role(sys.argv[1], *map(int, sys.argv[2:])))
    if sys.argv[1:] == ["upgrade"]:
        sys.exit(run_upgrade())
    if sys.argv[1:2] in (["serve"], ["migrate"]):
        # A supervisor stays for long, and needs neither the client nor tables.
        from mailproxy_server.cli.serve import alone as command
    else:
        from mailproxy_server.cli.root import app as command
    command()


if __name__ == "__main__":
    main()
