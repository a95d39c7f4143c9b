"""When mail came, by the SMTP server's own clock: the judge of limits and of order."""

import asyncio
import itertools
from collections.abc import Sequence

from tests.support.sinkhole import ORDINARY, Sinkhole

_TICK = 0.005


class Instants(list[float]):
    """When each MAIL was read, in seconds, and from when on it may have been there.

    A loop that had no turn for a while reads at once what came in all that time: who judges by when
    it was read would take the stall of the judge for a burst of the sender.
    """

    def __init__(self) -> None:
        super().__init__()
        self.earliest: list[float] = []
        self._loop = asyncio.get_running_loop()
        self._turned = self._loop.time()
        self._tick()

    def note(self) -> None:
        """One is read now."""
        self.append(self._loop.time())
        self.earliest.append(self._turned)

    def _tick(self) -> None:
        """The loop has its turn: what is read from now on was not there before."""
        self._turned = self._loop.time()
        self._loop.call_later(_TICK, self._tick)


def note_mails(sinkhole: Sinkhole) -> Instants:
    """Have the sinkhole note when each MAIL comes; gives the list that grows."""
    instants = Instants()

    def answers(verb: str, port: int) -> str:
        if verb == "MAIL":
            instants.note()
        return ORDINARY

    sinkhole.answers = answers
    return instants


def fullest(instants: Sequence[float], window: float) -> int:
    """Give how many surely came within one sliding window of this many seconds."""
    earliest = instants.earliest if isinstance(instants, Instants) else instants
    begin = most = 0
    for end, instant in enumerate(instants):
        while instant - earliest[begin] >= window and begin < end:
            begin += 1
        most = max(most, end - begin + 1)
    return most


def within(instants: Sequence[float], begin: float, end: float) -> int:
    """Count those from `begin` on that came before `end`."""
    return sum(begin <= instant < end for instant in instants)


def longest_pause(instants: Sequence[float]) -> float:
    """Give the longest time between two that followed each other."""
    return max((b - a for a, b in itertools.pairwise(instants)), default=0.0)
