"""What a scripted relay says, and what it saw: the words of `tests.support.relay`."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from email import message_from_bytes


@dataclass(frozen=True, slots=True)
class Say:
    """One answer.

    `text` is the reply, its lines (codes included) joined by newlines; "" says nothing.
    `after`: wait for this event first. `extra`: bytes put as they are into the same segment,
    after the reply. `drip`: seconds between any two bytes. `cut`: then close the connection
    hard, with no farewell.
    """

    text: str = ""
    after: asyncio.Event | None = None
    extra: bytes = b""
    drip: float = 0.0
    cut: bool = False

    @property
    def code(self) -> int:
        """The basic code, 0 when nothing is said."""
        return int(self.text[:3]) if self.text[:3].isdigit() else 0


SILENCE = Say()
"""Never answers, and goes on listening."""
CUT = Say(cut=True)
"""Closes the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A command as it came. `at` is time.monotonic()'s; connections count from 1."""

    connection: int
    verb: str
    line: str
    at: float
    tls: bool = False

    @property
    def address(self) -> str:
        """What stands between the angle brackets of MAIL or RCPT."""
        return self.line[self.line.index("<") + 1 : self.line.rindex(">")]


@dataclass(frozen=True, slots=True)
class Received:
    """A message up to its final dot, whatever was answered to that.

    `octets` is the content with the stuffed dots taken off, `wire` as it came (both without
    the final dot). `recipients` are those accepted at RCPT. `answer` is what the dot was
    answered with, 0 for nothing.
    """

    connection: int
    mail_from: str
    recipients: tuple[str, ...]
    octets: bytes
    wire: bytes
    at: float
    answer: int

    def header(self, name: str) -> str | None:
        """Give the first header field of this name."""
        return message_from_bytes(self.octets)[name]


Answer = Say | str | None
Turn = Answer | Callable[[Seen], Answer]
Script = Mapping[str, Turn | Sequence[Turn]]


class Player:
    """Chooses the answer to each command: the script's, or what an ordinary relay says."""

    def __init__(self, script: Script):
        self._script = script
        self._counts: dict[str, int] = {}

    def plays(self, verb: str) -> bool:
        """Whether the script has a line for this verb."""
        return verb in self._script

    def answer(self, seen: Seen, ordinary: str) -> Say:
        """Give the answer to a command; lists are gone through in turn, the last one repeats."""
        turn = self._script.get(seen.verb)
        if isinstance(turn, Sequence) and not isinstance(turn, str):
            count = self._counts.get(seen.verb, 0)
            self._counts[seen.verb] = count + 1
            turn = turn[min(count, len(turn) - 1)]
        if callable(turn):
            turn = turn(seen)
        if turn is None:
            turn = ordinary
        return Say(turn) if isinstance(turn, str) else turn
