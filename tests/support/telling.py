"""Saying something to whoever runs a test; pytest shows it when the test fails, or with -s."""

import sys


def tell(*lines: object) -> None:
    """Write lines to stdout, at once."""
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
