"""When mail came, by the SMTP server's own clock: the judge of limits and of order."""

import asyncio
import itertools
from collections.abc import Sequence

from tests.support.sinkhole import ORDINARY, Sinkhole


def note_mails(sinkhole: Sinkhole) -> list[float]:
    """Have the sinkhole note when each MAIL comes; gives the list that grows, in seconds."""
    instants: list[float] = []
    loop = asyncio.get_running_loop()

    def answers(verb: str, port: int) -> str:
        if verb == "MAIL":
            instants.append(loop.time())
        return ORDINARY

    sinkhole.answers = answers
    return instants


def fullest(instants: Sequence[float], window: float) -> int:
    """Give how many came within the fullest sliding window of this many seconds."""
    begin = most = 0
    for end, instant in enumerate(instants):
        while instant - instants[begin] >= window:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def within(instants: Sequence[float], begin: float, end: float) -> int:
    """Count those from `begin` on that came before `end`."""
    return sum(begin <= instant < end for instant in instants)


def longest_pause(instants: Sequence[float]) -> float:
    """Give the longest time between two that followed each other."""
    return max((b - a for a, b in itertools.pairwise(instants)), default=0.0)
