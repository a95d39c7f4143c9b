"""A database that an older version filled is upgraded while that version goes on, and nothing of
what it was promised is lost, doubled or changed by a byte.

What a later change of the schema needs here: the commit before it in `old_version.BEFORE`, and what
it adds to a queue in `upgraded.Traffic`.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import grpc.aio
import psutil
import pytest
from mailproxy import AsyncMailProxyClient
from mailproxy_server.queue.migrations import newest

from tests.support.calling import Caller, ahead, request
from tests.support.emails import composed
from tests.support.eventually import eventually
from tests.support.every_call import Known, every_call
from tests.support.old_version import BEFORE, OldVersion, old_version, revisions_of
from tests.support.postgres import Cluster
from tests.support.replicas import TOKEN, client_of, replica, stopped_process
from tests.support.serving import ROOT, Run
from tests.support.sinkhole import ORDINARY
from tests.support.telling import tell
from tests.support.upgraded import (
    AT_ONCE,
    EACH,
    HOLDING,
    LATE,
    REFUSING,
    WAITING,
    Link,
    Traffic,
    beside,
    traffic,
)

SETTINGS = {"lease_seconds": 5, "drain_seconds": 10}
PATIENCE = 10.0
"""Seconds for which a client looks for its server until it is gone for good."""


class Upgrade:
    """The servers of both versions on one database; a front and a dispatcher of each, in runs of
    their own, so that one dispatcher can be killed for good."""

    def __init__(self, folder: Path, url: str, old: OldVersion, mail: Traffic) -> None:
        self.mail = mail
        self.link: Link
        self.shop: Link
        """An application's connection, by which it orders mail."""
        self.runs: dict[str, Run] = {}
        """By version and role."""
        self.dispatchers: dict[str, int] = {}
        """The pids of those that send, by version."""
        self.clients: list[AsyncMailProxyClient] = []
        """Those by which mail is submitted."""
        self._folder = folder
        self._url = url
        self._variables: dict[str, Mapping[str, str]] = {"old": old.variables, "new": {}}
        self.stack = AsyncExitStack()

    async def start(self, version: str, role: str) -> None:
        """Start a part of this version and wait until it is ready."""
        run = await self.stack.enter_async_context(
            replica(
                self._folder, self._url, "--role", role,
                settings=SETTINGS, variables=self._variables[version],
            )
        )  # fmt: skip
        self.runs[f"{version} {role}"] = run
        if role == "dispatcher":
            pid = run.pid_of(" dispatcher ")
            assert pid
            self.dispatchers[version] = pid

    async def client(self, version: str) -> AsyncMailProxyClient:
        run = self.runs[f"{version} front"]
        return await self.stack.enter_async_context(client_of(run, timeout=PATIENCE))

    async def schema(self) -> Any:
        return await self.link.fetchval("SELECT version_num FROM mailproxy.alembic_version")

    async def unmoved(self) -> Any:
        """Count what nobody has moved yet from the outbox to the queue."""
        return await self.link.fetchval("SELECT count(*) FROM mailproxy.outbox")

    async def states(self, client: AsyncMailProxyClient) -> dict[str, tuple[int, ...]]:
        """Give what is due or held, retrying, scheduled and sending, by account."""
        status = await client.queue_status()
        return {
            one.account_id: (one.due + one.held, one.retrying, one.scheduled, one.sending)
            for one in status.accounts
        }

    def held_by(self, version: str) -> int:
        """Count the final dots of this version's dispatcher that wait for their reply."""
        relay = self.mail.relays["holding"]
        links = psutil.Process(self.dispatchers[version]).net_connections("tcp")
        ours = {each.laddr.port for each in links} & relay.open.keys()
        return sum(port in ours for port, _ in relay.held)

    async def drain(self, name: str) -> None:
        """End it by SIGTERM, as the page says."""
        assert await asyncio.to_thread(self.runs[name].stop) == 0


@asynccontextmanager
async def upgrading(commit: str, folder: Path, postgres: Cluster) -> AsyncIterator[Upgrade]:
    """Have the old version run alone, on a database that it made and filled itself."""
    old = old_version(commit, folder.parent / "old")
    folder.mkdir()
    url = await asyncio.to_thread(postgres.make_database, migrated=False)
    try:
        async with traffic() as mail:
            upgrade = Upgrade(folder, url, old, mail)
            async with upgrade.stack:
                upgrade.link, upgrade.shop = [await asyncpg.connect(url) for _ in range(2)]
                for link in (upgrade.link, upgrade.shop):
                    upgrade.stack.push_async_callback(link.close)
                await upgrade.start("old", "front")
                assert await upgrade.schema() == old.schema, "it is the old one that runs"
                await upgrade.start("old", "dispatcher")
                upgrade.clients.append(await upgrade.client("old"))
                yield upgrade
    finally:
        await asyncio.to_thread(postgres.drop_database, url)


async def fill(upgrade: Upgrade) -> None:
    """Have messages in every state, some of them with an attempt of the old version behind them."""
    mail, (old,) = upgrade.mail, upgrade.clients
    await mail.fill(old, upgrade.shop)
    refused = mail.relays["refusing"].versions
    await eventually(lambda: len(refused) == EACH, "all of them were refused once")
    await eventually(lambda: upgrade.held_by("old") == AT_ONCE, "some wait for their reply")
    states = await upgrade.states(old)
    tell(states)
    assert states[WAITING][0] >= EACH
    assert states[LATE][2] >= EACH
    assert sum(states[REFUSING]) >= EACH
    assert states[HOLDING][3] >= AT_ONCE


async def change_schema(upgrade: Upgrade, *, stopped: bool) -> None:
    """Start a new front, which changes the schema, while the old version works; if `stopped`,
    its dispatcher sleeps meanwhile, and what applications commit waits in the outbox."""
    with ExitStack() as sleep:
        if stopped:
            sleep.enter_context(stopped_process(upgrade.dispatchers["old"]))
            before = len(upgrade.mail.orders)
            await eventually(lambda: len(upgrade.mail.orders) >= before + 5, "orders come in")
        await upgrade.start("new", "front")
        assert await upgrade.schema() == newest()
        if stopped:
            assert await upgrade.unmoved() >= 5
    await upgrade.start("new", "dispatcher")
    upgrade.clients.append(await upgrade.client("new"))


async def every_call_works(upgrade: Upgrade) -> None:
    """Each RPC is answered by the old front on the new schema."""
    client = upgrade.clients[0]
    await client.create_account("other", host="127.0.0.1", port=9, tls="none")
    await client.pause_queue(account="other")
    async with grpc.aio.insecure_channel(upgrade.runs["old front"].grpc) as channel:
        caller = Caller(channel, TOKEN)
        submit = caller.messages.SubmitMessage
        email = composed()
        email.account_id = "other"
        queued = await caller.call(submit, request(email))
        email.send_time.CopyFrom(ahead(hours=1))
        later = await caller.call(submit, request(email))
        outcomes = await every_call(caller, Known(queued.message_id, later.message_id))
    assert not any(outcomes.values()), outcomes
    await client.cancel_message(account="other")


async def kill(upgrade: Upgrade, version: str) -> int:
    """kill -9 a version's dispatcher while it waits for replies to final dots; the other version's
    is the only one left to find out. Gives how many that were."""
    mail, relay = upgrade.mail, upgrade.mail.relays["holding"]
    for client in upgrade.clients * AT_ONCE:
        await mail.submit(client, HOLDING)
    await eventually(lambda: upgrade.held_by(version), "it waits for some replies")
    relay.answers = lambda verb, _: ORDINARY
    doubts = mail.staying.ledger.doubts
    doubted, before = upgrade.held_by(version), doubts.total()
    await asyncio.to_thread(upgrade.runs[f"{version} dispatcher"].kill)
    await eventually(lambda: doubts.total() >= before + doubted, "the other one has found out")
    relay.release()
    return doubted


@pytest.mark.parametrize("commit", BEFORE)
def test_no_revision_that_an_older_version_knows_was_edited(commit: str, tmp_path: Path) -> None:
    then = revisions_of(old_version(commit, tmp_path).folder)
    now = revisions_of(ROOT)
    assert then
    assert [name for name in then if now.get(name) != then[name]] == []
    assert min(now.keys() - then.keys(), default=max(then)) >= max(then), "added at the end"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("killed", ["old", "new"])
@pytest.mark.parametrize("commit", BEFORE)
async def test_what_the_version_before_had_queued_is_sent_to_the_byte_through_an_upgrade(
    commit: str, killed: str, data_dir: Path, postgres: Cluster
) -> None:
    async with upgrading(commit, data_dir, postgres) as upgrade:
        mail, clients = upgrade.mail, upgrade.clients
        (old,) = clients
        async with beside(mail.returning.follow(mail, old)):
            await fill(upgrade)
            await eventually(lambda: mail.returning.ledger.offset, "it has a cursor")
        async with AsyncExitStack() as reading:
            async with (
                beside(mail.staying.follow(mail, old)),
                mail.going_on(clients, upgrade.shop),
            ):
                await change_schema(upgrade, stopped=killed == "old")
                (_, new) = clients
                await reading.enter_async_context(beside(mail.returning.follow(mail, new)))
                await every_call_works(upgrade)
                doubted = await kill(upgrade, killed)
                if killed == "new":
                    await upgrade.start("new", "dispatcher")
                    await upgrade.drain("old dispatcher")
                clients.remove(old)
                await upgrade.drain("old front")
            await reading.enter_async_context(beside(mail.staying.follow(mail, new)))
            assert not mail.relays["refusing"].copies, "what the old one tried is left to the new"
            mail.relent()
            await new.resume_queue(account=WAITING)
            async with beside(mail.hurry(new)):
                await eventually(lambda: mail.settled, "all are final", seconds=120)
            await eventually(lambda: len({one.offset for one in mail.ledgers}) == 1, "both know")
        tell(f"{mail.ledgers[0].offset} reports, {len(mail.orders)} orders, {doubted} in doubt")
        assert mail.findings() == []
        assert not any(map(any, (await upgrade.states(new)).values())), "nothing is left"
