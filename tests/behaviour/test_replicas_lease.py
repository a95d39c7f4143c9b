"""A dispatcher that was stopped past its lease sends no final dot; without the check it does."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.replicas import client_of, replica, stopped_process
from tests.support.serving import REAL, ROOT
from tests.support.sinkhole import HOLD, ORDINARY, Sinkhole

HEEDLESS = ("-P", str(ROOT / "tests/support/serve_heedless.py"))
LEASE = {"lease_seconds": 2, "drain_seconds": 0, "hung_seconds": 0}


@pytest.mark.parametrize(("program", "dots"), [(REAL, 1), (HEEDLESS, 2)])
async def test_a_dispatcher_that_wakes_up_past_its_lease_between_rcpt_and_dot(
    data_dir: Path, database_url: str, program: Sequence[str], dots: int
) -> None:
    """HEEDLESS is the control: it doubles the message."""
    data_dir.mkdir()
    async with (
        Sinkhole() as sinkhole,
        replica(data_dir, database_url, settings=LEASE, program=program) as first,
        client_of(first) as client,
    ):
        await client.create_account("demo", host="127.0.0.1", port=sinkhole.port, tls="none")
        sinkhole.answers = lambda verb, _: HOLD if verb == "DATA" else ORDINARY
        sent = await client.submit(from_address="a@a.test", to="b@b.test", text="Once.\n")
        await eventually(lambda: sinkhole.held, "the dispatcher waits to be told to go on")
        stopped = first.pid_of(" dispatcher ")
        assert stopped
        sinkhole.answers = lambda verb, _: ORDINARY
        with stopped_process(stopped) as resume:
            async with replica(data_dir, database_url, "--role", "dispatcher", settings=LEASE):
                await eventually(lambda: sinkhole.dots == 1, "the other one has sent it")
                port, _ = sinkhole.held[0]
                sinkhole.release()
                resume()
                await eventually(lambda: port not in sinkhole.open, "the first one hung up")
        assert sinkhole.copies == {(sent.message_id, "b@b.test"): dots}
        reports = [report async for report in client.watch(sent.message_id)]
        assert [report.final for report in reports] == [False, True]
        assert reports[-1].possible_duplicate
