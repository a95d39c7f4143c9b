"""The words of a judgement: what an answer came to, whom it concerns, and the form of a rule.

Pure. The rules themselves are `rules`, which a mail administrator can read as a table.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Reply, Stage


class Kind(StrEnum):
    """What an attempt came to for one recipient."""

    ACCEPTED = "accepted"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    UNCERTAIN = "uncertain"
    """The final dot left us and no reply came: it may have been delivered."""


class Scope(StrEnum):
    """Whom it concerns."""

    RECIPIENT = "recipient"
    SENDER = "sender"
    CONTENT = "content"
    ACCOUNT = "account"
    US = "us"


SETUP = frozenset({Stage.CONNECT, Stage.EHLO, Stage.STARTTLS, Stage.AUTH})
"""The stages of a connection, before any message."""
ENVELOPE = frozenset({Stage.MAIL, Stage.RCPT})
MESSAGE = frozenset({Stage.DATA, Stage.DOT})
NOT_RCPT = MESSAGE | {Stage.MAIL}
NO_CODE = "."
"""Stands for a reply without an enhanced code."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one answer means. `hard`: the account cannot send until an operator changes it."""

    kind: Kind
    scope: Scope
    reason: Reason
    hard: bool = False


@dataclass(frozen=True, slots=True)
class Rule:
    """Fits a reply at one of `stages` whose basic code begins with one of `codes`, whose enhanced
    code is or lies below one of `enhanced`, and whose text has one of `words`, in which `*` is
    up to three words, and case and line breaks do not matter. What is empty is not asked for;
    addresses do not count as words, since who writes may choose them.

    `kind` None: 4xx is transient, 5xx permanent, but what concerns the account is always
    transient. `source` is where it is said, `why` a note for who reads the table.
    """

    scope: Scope
    reason: Reason
    source: str
    why: str
    stages: frozenset[Stage] = frozenset()
    codes: tuple[str, ...] = ()
    enhanced: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    kind: Kind | None = None
    hard: bool = False

    def fits(self, stage: Stage, reply: Reply) -> bool:
        """Whether this rule speaks of it."""
        below = tuple(each if each == NO_CODE else f"{each}." for each in self.enhanced)
        return (
            (not self.stages or stage in self.stages)
            and (not self.codes or str(reply.code).startswith(self.codes))
            and (not below or f"{reply.enhanced}.".startswith(below))
            and (not self.words or _says(reply.text, self.words))
        )

    def means(self, reply: Reply) -> Judgement:
        """Give the judgement of a reply that it fits."""
        passing = reply.code < 500 or self.scope is Scope.ACCOUNT
        kind = self.kind or (Kind.TRANSIENT if passing else Kind.PERMANENT)
        return Judgement(kind, self.scope, self.reason, self.hard)


_ADDRESS = re.compile(r'"[^"\n]*"@\S*|\S*@\S*')


def _says(text: str, words: tuple[str, ...]) -> bool:
    return _pattern(words).search(_without_addresses(text)) is not None


@lru_cache(maxsize=16)
def _without_addresses(text: str) -> str:
    return _ADDRESS.sub("", text)


@lru_cache(maxsize=256)
def _pattern(words: tuple[str, ...]) -> re.Pattern[str]:
    phrases = (
        r"\s+".join(re.escape(word) for word in phrase.split()).replace(
            r"\s+\*\s+", r"\s+(?:\S+\s+){0,3}"
        )
        for phrase in words
    )
    return re.compile("|".join(phrases), re.IGNORECASE)
