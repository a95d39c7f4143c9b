"""All that a database can hold while the servers on it are replaced, and what becomes of it.

Three relays: one takes all, one answers 451 to final dots until it is told otherwise, one holds
its replies to them. `Traffic` fills the queue by them and judges in the end, from outside: by the
client's acknowledgements, two consumers of the reports, and the relays.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import asyncpg
from mailproxy import AsyncMailProxyClient, Attachment, Message, outbox
from mailproxy.v1.delivery_pb2 import DeliveryReport

from tests.support.dkim_verifier import RSA
from tests.support.ledger import Ledger
from tests.support.sinkhole import HOLD, LATER, ORDINARY, Sinkhole
from tests.support.templates import GIVEN, ORDER

Link: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

DEMO, LIMITED, WAITING, LATE = "demo", "limited", "waiting", "late"
REFUSING, HOLDING = "refusing", "holding"
RELAYS = {
    DEMO: "ordinary", LIMITED: "ordinary", WAITING: "ordinary", LATE: "ordinary",
    REFUSING: "refusing", HOLDING: "holding",
}  # fmt: skip
"""Which relay each account sends by. WAITING is paused, LATE's messages are scheduled."""
LIMIT = 20
"""Recipients a second of LIMITED."""
AT_ONCE = 4
"""Connections of HOLDING, for each dispatcher."""
EACH = 8
"""Messages that each account is given before the upgrade, two of each kind of content."""
SCHEDULED = timedelta(seconds=20)
PACE = 0.02
"""Seconds between the messages that come in all the time."""


@dataclass
class Consumer:
    """One that notes all reports in its ledger, from server to server by its cursor."""

    ledger: Ledger = field(default_factory=Ledger)
    cursor: str = "earliest"

    async def follow(self, traffic: "Traffic", client: AsyncMailProxyClient) -> None:
        """Read on at this front, from where it was."""
        async with client.delivery_reports(self.cursor) as reports:
            async for report in reports:
                traffic.bought(report)
                self.ledger.note(report)
                self.cursor = reports.cursor


class Traffic:
    """The relays by name, and all that was submitted."""

    def __init__(self) -> None:
        self.relays = {name: Sinkhole() for name in RELAYS.values()}
        self.relays["refusing"].answers = lambda verb, _: LATER if verb == "DOT" else ORDINARY
        self.relays["holding"].answers = lambda verb, _: HOLD if verb == "DOT" else ORDINARY
        self.staying, self.returning = Consumer(), Consumer()
        """One that reads all the time, and one that is away while the schema changes."""
        self.orders: set[str] = set()
        """Who is to get a mail by the outbox."""
        self._queued: dict[str, str] = {}
        """The message by which each of them gets it."""
        self._numbers = itertools.count(1)
        self._blob = ""

    @property
    def ledgers(self) -> tuple[Ledger, Ledger]:
        return self.staying.ledger, self.returning.ledger

    async def fill(self, client: AsyncMailProxyClient, link: Link) -> None:
        """Make the accounts and give each of them some of every kind of message."""
        for name, relay in RELAYS.items():
            await client.create_account(
                name,
                host="127.0.0.1",
                port=self.relays[relay].port,
                tls="none",
                is_default=name == DEMO,
                retry={"first_delay": timedelta(seconds=1), "factor": 1.0},
                max_connections=AT_ONCE,
                limits=[f"{LIMIT}/s"] if name == LIMITED else [],
                dkim_keys=[{"domain": "a.test", "selector": "s1", "private_key": RSA}],
            )
        await client.create_template("order", **ORDER)
        self._blob = (await client.upload(Attachment("big.bin", bytes(range(256)) * 2000))).blob
        await client.pause_queue(account=WAITING)
        for account in RELAYS:
            due = datetime.now(UTC) + SCHEDULED if account == LATE else None
            for _ in range(EACH):
                await self.submit(client, account, due)
        await self.order(link)

    async def submit(
        self, client: AsyncMailProxyClient, account: str, send_time: datetime | None = None
    ) -> None:
        """Submit the next message; each kind of content comes in its turn."""
        number = next(self._numbers)
        to = [f"u{number}@b.test"]
        if number % 7 == 0:
            to.append(f"refused-{number}@b.test")
        letter = self._letter(number, to) | Message(account=account, send_time=send_time)
        sent = await client.submit(**letter)
        for ledger in self.ledgers:
            ledger.acknowledge(sent.message_id, to)

    def _letter(self, number: int, to: list[str]) -> Message:
        kinds: list[Message] = [
            {"text": "Thanks.\n.\n"},
            {"text": "Grüße\n", "html": "<p>Grüße", "headers": {"X-Shop": "Übersicht"}},
            {"text": "See.\n", "attachments": [Attachment("big.bin", blob=self._blob)]},
            {"template": "order", "variables": GIVEN},
        ]
        kind = kinds[number % len(kinds)]
        subject: Message = {} if "template" in kind else {"subject": f"Bestätigung {number} – 日本"}
        return {"from_address": "shop@a.test", "to": to, **subject, **kind}

    async def order(self, link: Link) -> None:
        """Commit a message to the outbox."""
        address = f"buyer{next(self._numbers)}@b.test"
        await outbox.submit_async(link, from_address="shop@a.test", to=address, text="Thanks.\n")
        self.orders.add(address)

    def bought(self, report: DeliveryReport) -> None:
        """Note which message came of an order, when that is first seen."""
        buyer, message_id = report.recipient, report.message_id
        if buyer.startswith("buyer") and buyer not in self._queued:
            self._queued[buyer] = message_id
            for ledger in self.ledgers:
                ledger.acknowledge(message_id, [buyer])

    @asynccontextmanager
    async def going_on(
        self, clients: Sequence[AsyncMailProxyClient], link: Link
    ) -> AsyncIterator[None]:
        """Submit during the block, in turn by the clients that there are just then, and to the
        outbox. Nothing is broken off: what was ordered is known."""
        over = asyncio.Event()

        async def trade() -> None:
            for turn in itertools.count():
                if over.is_set():
                    return
                await self.submit(clients[turn % len(clients)], (DEMO, LIMITED)[turn % 2])
                await self.order(link)
                await asyncio.sleep(PACE)

        trading = asyncio.create_task(trade())
        try:
            yield
        finally:
            over.set()
            await trading

    def relent(self) -> None:
        """Let the relay that refused take all."""
        self.relays["refusing"].answers = lambda verb, _: ORDINARY

    @property
    def settled(self) -> bool:
        """Whether both consumers were told the end of all that was submitted or ordered."""
        return self.orders <= self._queued.keys() and all(one.settled for one in self.ledgers)

    async def hurry(self, client: AsyncMailProxyClient) -> None:
        """Let nothing wait for its retry: what was interrupted more often waits for longer."""
        while True:
            await client.run_now(include_retries=True)
            await asyncio.sleep(0.5)

    def findings(self) -> list[str]:
        """Give what broke a promise, in words."""
        everything = Sinkhole()
        for relay in self.relays.values():
            everything.copies += relay.copies
            everything.headless |= relay.headless
            for message_id, versions in relay.versions.items():
                everything.versions.setdefault(message_id, set()).update(versions)
        mails = Counter(to for _, to in everything.copies if to.startswith("buyer"))
        return [
            *(found for ledger in self.ledgers for found in ledger.findings(everything)),
            *(f"ordered {mails[one]} mails: {one}" for one in self.orders if mails[one] != 1),
            *(f"nobody ordered {one}" for one in mails if one not in self.orders),
        ]


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Do this beside the block and end it with the block; what went wrong with it is raised."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            task.result()


@asynccontextmanager
async def traffic() -> AsyncIterator[Traffic]:
    """Have the relays for the length of the block."""
    made = Traffic()
    async with AsyncExitStack() as stack:
        for relay in made.relays.values():
            await stack.enter_async_context(relay)
        yield made
