"""One mail transaction (RFC 5321 section 3.3) on an open session: what was said, unjudged.

Pipelined where it may be (RFC 2920), else one command at a time. The final dot leaves only
after `may_dot` allowed it; where it must not, the connection is cut, since a dot after a
truncated content would deliver half a message.
"""

from dataclasses import dataclass, field
from typing import Protocol

from mailproxy_server.mail.transcript import Exchange, Fault, FaultKind, Reply, Stage
from mailproxy_server.smtp.body import Body, BodyLost
from mailproxy_server.smtp.commands import Plan, Step, Stuffer, stuffed, wire_form
from mailproxy_server.smtp.session import Session
from mailproxy_server.smtp.wire import Answer


class Permit(Protocol):
    """Asked just before the two steps that cannot be taken back; a fault forbids the step."""

    def may_mail(self) -> Fault | None:
        """Whether MAIL may leave; where not, nothing of the message is sent."""
        ...

    def may_dot(self) -> Fault | None:
        """Whether the final dot may leave; where not, the connection is cut."""
        ...


AT_ONCE = 64 * 1024
"""A content of up to this many octets is written together with its final dot."""

_SENDING = Step(Stage.DATA, "")
_NOT_SENT = Step(Stage.DOT, "")
_DOT = Step(Stage.DOT, ".")


@dataclass(slots=True)
class Transaction:
    """Runs once; `exchanges` grow as it runs, timed from `started` (the loop's clock)."""

    session: Session
    plan: Plan
    started: float
    exchanges: list[Exchange] = field(default_factory=list)
    mail_sent_ms: int | None = None
    _accepted: int = 0
    _ready: bool = False

    async def run(self, content: bytes | Body, permit: Permit, *, pipelined: bool) -> None:
        """Go through it to its end, whichever that is. Cancelled, the session must be aborted."""
        for step, fault in self.plan.impossible:
            self._note(step, Answer(self.started, fault))
        if not self.plan.steps:
            return
        forbidden = permit.may_mail()
        if forbidden is not None:
            self._note(self.plan.steps[0], Answer(self.session.wire.now(), forbidden))
            return
        self.session.transactions += 1
        self.session.unfinished = True
        if pipelined:
            await self._envelope_at_once()
        else:
            await self._envelope_step_by_step()
        if self._ready and self._accepted:
            if isinstance(content, bytes):
                await self._content(content, permit)
            else:
                await self._stream(content, permit)
        elif self._ready:
            await self._dot(b".\r\n")  # RFC 2920 section 3.1: 354 though no recipient was accepted

    @property
    def unheard(self) -> bool:
        """Whether the relay had left before it heard MAIL: nothing at all has happened."""
        for exchange in self.exchanges:
            if exchange.stage is Stage.MAIL:
                answer = exchange.answer
                if isinstance(answer, Reply):
                    return answer.code == 421
                return answer.kind is FaultKind.CLOSED
        return False

    async def _envelope_at_once(self) -> None:
        steps, wire, limits = self.plan.steps, self.session.wire, self.session.timeouts
        self._mark_mail()
        wire.write(wire_form(steps), replies=len(steps))
        answers = await wire.answers(len(steps) - 1, limits.mail)
        if isinstance(answers[-1].what, Reply):
            answers.append(await wire.answer(limits.data))
        for step, answer in zip(steps, answers, strict=False):
            if not self._record(step, answer):
                return

    async def _envelope_step_by_step(self) -> None:
        wire, limits = self.session.wire, self.session.timeouts
        for step in self.plan.steps:
            if step.stage is Stage.MAIL:
                self._mark_mail()
            elif not self.session.unfinished or (step.stage is Stage.DATA and not self._accepted):
                return
            wire.write(wire_form((step,)))
            limit = limits.data if step.stage is Stage.DATA else limits.mail
            if not self._record(step, await wire.answer(limit)):
                return

    async def _content(self, content: bytes, permit: Permit) -> None:
        wire = self.session.wire
        ready, end = stuffed(content)
        if len(ready) > AT_ONCE:
            await wire.pour(ready, self.session.timeouts.body)
            ready = b""
        await self._end(ready + end, permit)

    async def _stream(self, body: Body, permit: Permit) -> None:
        """Send a content block by block; where it breaks off, the connection is cut."""
        wire, stuffer = self.session.wire, Stuffer()
        try:
            async for block in body.blocks():
                await wire.pour(stuffer.feed(block), self.session.timeouts.body)
                if wire.fault is not None:
                    break
        except BodyLost as lost:
            wire.fail(Fault(FaultKind.CONTENT_LOST, str(lost)))
        await self._end(b".\r\n", permit)

    async def _end(self, octets: bytes, permit: Permit) -> None:
        """Send the last octets with the final dot, if all before them left and it may."""
        wire = self.session.wire
        if wire.fault is not None:
            said = wire.stray if wire.stray is not None and not wire.stray.positive else None
            self._note(_SENDING, Answer(wire.now(), said or wire.fault))
            return
        refused = permit.may_dot()
        if refused is not None:
            wire.fail(refused)
            self._note(_NOT_SENT, Answer(wire.now(), refused))
            return
        await self._dot(octets)

    async def _dot(self, octets: bytes) -> None:
        wire = self.session.wire
        wire.write(octets)
        self._record(_DOT, await wire.answer(self.session.timeouts.dot))
        self.session.unfinished = False

    def _record(self, step: Step, answer: Answer) -> bool:
        """Note an answer that was waited for; give whether the dialogue can go on."""
        what = answer.what
        if isinstance(what, Reply) and what.positive:
            if what.code != 354 if step.stage is Stage.DATA else what.code >= 300:
                what = Fault(FaultKind.PROTOCOL, f"{step.stage} was answered with {what.code}")
                self.session.wire.fail(what)
            elif step.stage is Stage.RCPT:
                self._accepted += self.session.unfinished
            elif step.stage is Stage.DATA:
                self._ready = True
        elif step.stage is Stage.MAIL:
            self.session.unfinished = False
        self._note(step, Answer(answer.at, what))
        return isinstance(what, Reply)

    def _note(self, step: Step, answer: Answer) -> None:
        elapsed = int((answer.at - self.started) * 1000)
        self.exchanges.append(
            Exchange(step.stage, step.command, answer.what, elapsed, step.recipient_no)
        )

    def _mark_mail(self) -> None:
        self.mail_sent_ms = int((self.session.wire.now() - self.started) * 1000)
