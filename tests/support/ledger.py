"""What a client saw of a storm, and the judgement over it. Never looks into a database."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from mailproxy.errors import CursorError
from mailproxy.v1.delivery_pb2 import DeliveryReport, FailureReason, ReportEvent

from tests.support.sinkhole import REFUSED, Sinkhole, Wanted

DOUBTFUL = (
    FailureReason.FAILURE_REASON_INTERRUPTED,
    FailureReason.FAILURE_REASON_OUTCOME_UNKNOWN,
)
"""Reasons of a deferral after which the relay may already have the message."""
SHOWN = 5
"""Findings of one kind that are told; the rest is counted."""


@dataclass
class Ledger:
    """Acknowledged messages and all reports, noted as they come.

    `lossy`: a failover may lose the last commits. Then what it lost is told, and no finding; all
    else is judged as ever.
    """

    lossy: bool = False

    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    """Recipients by message id."""
    final: dict[Wanted, DeliveryReport] = field(default_factory=dict)
    doubts: Counter[Wanted] = field(default_factory=Counter)
    """Attempts that were reported as broken off with an outcome not known."""
    wrong: list[str] = field(default_factory=list)
    """What was wrong with the reports as they came."""
    unacknowledged: list[str] = field(default_factory=list)
    """Why submissions ended without an acknowledgement."""
    offset: int = 0
    recipients: int = 0
    """Acknowledged ones, and how many of them are final: `ended`."""
    ended: int = 0
    forgotten: dict[str, list[str]] = field(default_factory=dict)
    """Acknowledged messages that a failover lost: recipients by message id."""
    common: list[int] = field(default_factory=list)
    """The offsets up to which old logs and new ones were the same, as the consumer was told."""
    excused: set[Wanted] = field(default_factory=set)
    """Of what a failover may have lost that it was sent."""
    _said: dict[str, tuple[object, ...]] = field(default_factory=dict)
    """By report id: it is of one log and one offset."""

    def acknowledge(self, message_id: str, recipients: list[str]) -> None:
        """Note that the server has taken a message."""
        if message_id not in self.acknowledged:
            self.acknowledged[message_id] = recipients
            self.recipients += len(recipients)
            self.ended += sum((message_id, one) in self.final for one in recipients)

    def note(self, report: DeliveryReport) -> None:
        """Note the next report of the log."""
        if report.offset != self.offset + 1:
            self.wrong.append(f"offset {report.offset} came after {self.offset}")
        self.offset = report.offset
        said = report.offset, report.message_id, report.recipient, report.event
        if self._said.setdefault(report.report_id, said) != said:
            self.wrong.append(f"{report.report_id} was {self._said[report.report_id]}, and {said}")
        key = report.message_id, report.recipient
        if report.event == ReportEvent.REPORT_EVENT_DEFERRED and report.reason in DOUBTFUL:
            self.doubts[key] += 1
        if report.final:
            if key in self.final:
                self.wrong.append(f"{key} became final twice")
            self.final[key] = report
            self.ended += report.message_id in self.acknowledged

    def go_back(self, error: CursorError) -> None:
        """Undo the reports that the log has lost; such an error is wrong where nothing may be."""
        common = int(error.metadata.get("common_offset", 0))
        self.common.append(common)
        if not self.lossy or error.reason != "CURSOR_FOREIGN" or common > self.offset:
            self.wrong.append(f"cursor refused at {self.offset}: {error.reason} {error.metadata}")
        self.offset = common
        for key in [key for key, report in self.final.items() if report.offset > common]:
            del self.final[key]
            self.ended -= key[0] in self.acknowledged

    def forget(self, message_id: str) -> None:
        """Note that a failover has lost an acknowledged message."""
        recipients = self.acknowledged.pop(message_id)
        self.forgotten[message_id] = recipients
        self.recipients -= len(recipients)
        self.ended -= sum((message_id, one) in self.final for one in recipients)

    def unsettled(self) -> list[str]:
        """Give the acknowledged messages of which not all is final."""
        return list(dict.fromkeys(key[0] for key in self._wanted() if key not in self.final))

    @property
    def settled(self) -> bool:
        """Whether every acknowledged recipient is final."""
        return self.ended >= self.recipients

    def findings(self, sinkhole: Sinkhole) -> list[str]:
        """Give what broke a promise, in words; nothing when all were kept."""
        return [
            *_few("wrong report", self.wrong),
            *_few("lost", self._lost(sinkhole)),
            *_few("wrong end", self._wrong_ends()),
            *_few("sent again without a doubt", self._repeated(sinkhole)),
            *_few("differing bytes", (m for m, v in sinkhole.versions.items() if len(v) > 1)),
            *_few("no Date or Message-ID", sinkhole.headless),
        ]

    def duplicates(self, sinkhole: Sinkhole) -> int:
        """Count the copies beyond the first."""
        return sum(sinkhole.copies.values()) - len(sinkhole.copies)

    def _wanted(self) -> Iterator[Wanted]:
        for message_id, recipients in self.acknowledged.items():
            for recipient in recipients:
                yield message_id, recipient

    def _lost(self, sinkhole: Sinkhole) -> Iterator[str]:
        for key in self._wanted():
            if not key[1].startswith(REFUSED) and key not in sinkhole.copies:
                yield str(key)

    def _wrong_ends(self) -> Iterator[str]:
        for key in self._wanted():
            refused = key[1].startswith(REFUSED)
            right = ReportEvent.REPORT_EVENT_FAILED if refused else ReportEvent.REPORT_EVENT_SENT
            report = self.final.get(key)
            if report is None or report.event != right:
                yield f"{key}: {report and ReportEvent.Name(report.event)}"

    def _repeated(self, sinkhole: Sinkhole) -> Iterator[str]:
        """Each copy but the last must have been cut off from its outcome, and be told as such."""
        for key, copies in sinkhole.copies.items():
            if key in self.excused:
                continue
            if copies - 1 > self.doubts[key]:
                yield f"{key}: {copies} copies, {self.doubts[key]} doubts"
            elif copies > 1 and key in self.final and not self.final[key].possible_duplicate:
                yield f"{key}: {copies} copies, not marked"


def _few(kind: str, found: Iterable[str]) -> list[str]:
    every = list(found)
    told = [f"{kind}: {one}" for one in every[:SHOWN]]
    return told + [f"{kind}: {len(every) - SHOWN} more"] * (len(every) > SHOWN)
