"""One account's dead relay and another's poison delay nobody else's mail, and keep it in order."""

from pathlib import Path

import pytest
from mailproxy import AsyncMailProxyClient, Message

from tests.support.eventually import eventually
from tests.support.relay import CUT, SILENCE, ScriptedRelay
from tests.support.replicas import client_of, replica
from tests.support.sinkhole import Sinkhole
from tests.support.telling import tell

HANGING, POISON, GOOD = 50_000, 1_000, 1_000
BATCH = 1_000


async def _submit(client: AsyncMailProxyClient, account: str, count: int) -> list[str]:
    ids = []
    for start in range(0, count, BATCH):
        letters = [
            Message(from_address="a@a.test", to=f"u{number}@b.test", text="Hi.\n", account=account)
            for number in range(start, min(start + BATCH, count))
        ]
        for sent in await client.submit_many(letters, timeout=120):
            assert not isinstance(sent, Exception), sent
            ids.append(sent.message_id)
    return ids


async def _arrived(relay: Sinkhole, count: int) -> None:
    await eventually(lambda: relay.dots >= count, "it arrives", seconds=10)


@pytest.mark.timeout(300)
async def test_mail_of_one_account_arrives_in_order_beside_a_hanging_relay_and_poison(
    data_dir: Path, database_url: str
) -> None:
    data_dir.mkdir()
    async with (
        ScriptedRelay({"DATA": SILENCE}) as hanging,
        ScriptedRelay({"DOT": CUT}) as poisoned,
        Sinkhole() as good,
        replica(data_dir, database_url) as run,
        client_of(run) as client,
    ):
        for name, port in (
            ("hanging", hanging.port),
            ("poisoned", poisoned.port),
            ("good", good.port),
        ):
            connections = 1 if name == "good" else 10
            await client.create_account(
                name, host="127.0.0.1", port=port, tls="none", max_connections=connections
            )
        await _submit(client, "hanging", HANGING)
        await _submit(client, "poisoned", POISON)
        await hanging.until(lambda: "DATA" in hanging.verbs(), "the relay hangs")
        sent = []
        for _ in range(GOOD // 100):
            for _ in range(100):
                one = await client.submit(
                    from_address="a@a.test", to="u@b.test", text="Hi.\n", account="good"
                )
                sent.append(one.message_id)
            await _arrived(good, len(sent))
        assert list(good.versions) == sent, "in the order of submission"
        status = {each.account_id: each for each in (await client.queue_status()).accounts}
        tell({name: (one.due, one.sending, one.retrying) for name, one in status.items()})
        assert status["hanging"].due > HANGING - 1_000
