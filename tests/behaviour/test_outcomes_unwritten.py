"""Mail that was sent while the database took no outcomes is told of, written later, and sent once.

Heartbeats and claims go on, as when the disk is full where the log is.
"""

import asyncio
from pathlib import Path

from mailproxy import Message

from tests.support.diagnosing import doctor
from tests.support.eventually import eventually
from tests.support.refusing_log import refusing_log
from tests.support.replicas import client_of, replica
from tests.support.sinkhole import Sinkhole

MAILS = 30


async def test_outcomes_that_the_database_refuses_are_told_kept_and_written(
    data_dir: Path, database_url: str
) -> None:
    data_dir.mkdir()
    async with (
        Sinkhole() as sinkhole,
        replica(data_dir, database_url, settings={"lease_seconds": 2}) as run,
        client_of(run) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        letters = [
            Message(from_address="a@a.test", to="b@b.test", text=f"{number}\n")
            for number in range(MAILS)
        ]
        reports = client.delivery_reports()
        async with refusing_log(database_url, "53100"):
            await client.submit_many(letters)
            await eventually(lambda: sinkhole.dots == MAILS, "all are at the relay")
            said = await doctor(database_url).until("unwritten_outcomes")
            assert "sent, not yet written" in said["words"]
            assert "cannot be written to the database" in run.err
        final = 0
        async with asyncio.timeout(60):
            async for report in reports:
                assert not report.possible_duplicate
                final += report.final
                if final == MAILS:
                    break
        assert sum(sinkhole.copies.values()) == MAILS
        await eventually(lambda: "are written to the database again" in run.err, "it is told")
