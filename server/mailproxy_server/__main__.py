"""The entry of every process: children of a run go straight to their role, people to the CLI."""

import gc
import sys


def main() -> None:
    """Run what the command line asks for."""
    # Nothing that is imported is garbage, and looking for some would be a sixth of a start.
    gc.disable()
    from mailproxy_server.app.roles import MODULES, run_role, run_upgrade

    if len(sys.argv) == 5 and sys.argv[1] in MODULES:
        sys.exit(run_role(sys.argv[1], *map(int, sys.argv[2:])))
    if sys.argv[1:] == ["upgrade"]:
        sys.exit(run_upgrade())
    if sys.argv[1:2] in (["serve"], ["migrate"]):
        # A supervisor stays for long, and needs neither the client nor tables.
        from mailproxy_server.cli.serve import alone as command
    else:
        from mailproxy_server.cli.root import app as command
    gc.freeze()
    gc.enable()
    command()


if __name__ == "__main__":
    main()
