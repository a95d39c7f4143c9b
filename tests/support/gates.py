"""Gates in tests: replicas that share one account, and what its relay says to them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from mailproxy_server.accounts.account import Account
from mailproxy_server.dispatcher.gate import Gate, Leave
from mailproxy_server.mail.delivery import Reason
from mailproxy_server.mail.transcript import Reply, Stage
from mailproxy_server.policy.classify import Kind, Scope, Verdict
from mailproxy_server.queue import hot

from tests.support.health import sooner
from tests.support.queue import Queue
from tests.support.rated import account

ACCEPTED = Verdict(Kind.ACCEPTED, Scope.RECIPIENT, Reason.NONE, Reply(250), Stage.DOT)
NO_USER = Verdict(Kind.PERMANENT, Scope.RECIPIENT, Reason.RECIPIENT_REFUSED, Reply(550), Stage.RCPT)


def _blamed(reason: Reason, stage: Stage, code: int | None = None) -> Verdict:
    reply = Reply(code) if code else None
    return Verdict(Kind.TRANSIENT, Scope.ACCOUNT, reason, reply, stage)


AWAY = _blamed(Reason.RELAY_UNREACHABLE, Stage.CONNECT)
REFUSED = replace(_blamed(Reason.RELAY_AUTH, Stage.AUTH, 535), hard=True)
USED_UP = _blamed(Reason.QUOTA_EXHAUSTED, Stage.DOT, 550)
SLOWER = _blamed(Reason.THROTTLED, Stage.MAIL, 451)
CUT = _blamed(Reason.RELAY_UNREACHABLE, Stage.DATA)


@dataclass
class Replica:
    """One replica's gate, and the account as this replica knows it."""

    mail_queue: Queue
    account: Account
    gate: Gate = field(default_factory=lambda: Gate(1.0, 30.0))

    def hear(self, *verdicts: Verdict) -> None:
        """Each is what came of an attempt."""
        for verdict in verdicts:
            self.gate.hear([verdict])

    async def tell(self, *verdicts: Verdict) -> bool:
        """Hear, and write it."""
        self.hear(*verdicts)
        assert self.gate.pending
        async with hot.connection(self.mail_queue.pool) as link:
            return await self.gate.tell(link, self.account)

    async def look(self) -> Leave:
        """Look anew."""
        self.gate.expire()
        async with hot.connection(self.mail_queue.pool) as link:
            return await self.gate.look(link, self.account)

    async def probe(self) -> bool:
        """Take the probe."""
        async with hot.connection(self.mail_queue.pool) as link:
            return await self.gate.take_probe(link, self.account)

    def changed(self) -> None:
        """The replica learns of a change of the account."""
        self.account = replace(self.account, revision=self.account.revision + 1)


def replicas(mail_queue: Queue, count: int, most: int = 10) -> Sequence[Replica]:
    shared = replace(account(mail_queue), max_connections=most)
    return [Replica(mail_queue, shared) for _ in range(count)]


async def opened(one: Replica, by: Verdict = AWAY) -> None:
    """This opens the breaker."""
    assert await one.tell(*[by] * (5 if by is AWAY else 1))


async def probing(one: Replica, by: Verdict = AWAY) -> None:
    """The breaker is open, it is time, and this replica has the probe."""
    await opened(one, by)
    await sooner(one.mail_queue, 900)
    assert (await one.look()).probe
    assert await one.probe()
