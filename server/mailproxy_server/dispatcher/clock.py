"""The clock by which a dispatcher measures what has passed."""

import time


def boottime() -> float:
    """Give CLOCK_BOOTTIME in seconds: nobody sets it, and it goes on while a process is
    stopped or a machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
