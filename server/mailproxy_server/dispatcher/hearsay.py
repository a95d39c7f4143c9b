"""What a lane has heard of its relay and not yet written down. No I/O.

Counts the faults in a row, and knows which result is that of a probe.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mailproxy_server.policy import breaker
from mailproxy_server.policy.breaker import Sign
from mailproxy_server.policy.classify import Verdict


@dataclass(frozen=True, slots=True)
class Said:
    """What one attempt said of the account. `detail` are our own words, "" for none."""

    sign: Sign
    verdict: Verdict | None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Heard:
    """`trouble` is to open the breaker, `result` came of a probe, `throttled`: slower."""

    trouble: Said | None = None
    result: Said | None = None
    throttled: bool = False


_NOTHING = Heard()


class Hearsay:
    """Of one account. `probing`: what is heard next is the result of a probe."""

    def __init__(self) -> None:
        self.probing = False
        self._heard = _NOTHING
        self._faults = 0
        self._overlook = False
        self._revision: int | None = None
        self._generation: int | None = None

    @property
    def pending(self) -> bool:
        """Whether there is something to write down."""
        return self._heard is not _NOTHING

    def hear(self, verdicts: Sequence[Verdict], detail: str) -> Sign:
        """Take in what an attempt came to; give what it says of the account."""
        sign, verdict = breaker.decisive(verdicts)
        if sign is Sign.LIFE and not self.probing:
            self._faults = 0
            return sign
        said = Said(sign, verdict, detail)
        if said.sign in breaker.PROBING and self._overlook:
            self._overlook = False
            return said.sign
        if self.probing:
            self.probing = False
            self._heard = replace(self._heard, result=said)
        if said.sign is Sign.LIFE:
            self._faults = 0
        elif said.sign is Sign.THROTTLE:
            self._heard = replace(self._heard, throttled=True)
        elif said.sign in breaker.PROBING:
            self._faults += said.sign is Sign.FAULT
            self._blame(said)
        return said.sign

    def take(self) -> Heard:
        """Take out what is to be written."""
        heard, self._heard = self._heard, _NOTHING
        if heard.trouble:
            self._faults = 0
        return heard

    def put_back(self, heard: Heard) -> None:
        """It could not be written; what was heard meanwhile stands beside it."""
        newer = self._heard
        if heard is _NOTHING:
            return
        self._heard = Heard(
            heard.trouble or newer.trouble,
            heard.result or newer.result,
            heard.throttled or newer.throttled,
        )

    def revision(self, number: int) -> None:
        """The account's revision is this. What an older one was blamed for counts no more, nor
        does what comes of a probe that still uses it."""
        if self._revision not in (None, number):
            self._overlook = self.probing
            self.probing = False
            self._faults = 0
            self._heard = Heard(throttled=True) if self._heard.throttled else _NOTHING
        self._revision = number

    def generation(self, number: int) -> None:
        """The breaker's generation is this: a closed breaker begins anew to count."""
        if self._generation not in (None, number):
            self._faults = 0
        self._generation = number

    def _blame(self, said: Said) -> None:
        if said.sign is Sign.FAULT and self._faults < breaker.FAULTS_TO_OPEN:
            return
        known = self._heard.trouble
        if known is None or breaker.displaces(known.sign, said.sign):
            self._heard = replace(self._heard, trouble=said)
