"""A relay that was away for long, with 5,000 waiting: nothing is lost, no herd, and in order.

Ten minutes are compressed to seconds: the breaker is tried after 0.3 to 1.2 s.
"""

import asyncio
from collections import Counter
from pathlib import Path

import pytest
from mailproxy import AsyncMailProxyClient
from mailproxy.v1 import account_pb2
from mailproxy.v1.delivery_pb2 import DeliveryReport, ReportEvent

from tests.support.eventually import eventually
from tests.support.replicas import client_of, replica
from tests.support.sinkhole import HOLD, ORDINARY, Sinkhole

WAITING, CONNECTIONS = 5_000, 4
CALLERS = 20
IMPATIENT = ("-P", str(Path(__file__).parents[1] / "support/serve_impatient.py"))
AWAY_SECONDS = 6.0


async def _submit_all(client: AsyncMailProxyClient) -> list[str]:
    """Submit one after another, as far as order matters: each waits for the one before."""
    ids: list[str] = []
    for _ in range(WAITING // CALLERS):
        some = [
            client.submit(from_address="a@a.test", to="u@b.test", text="Hi.\n")
            for _ in range(CALLERS)
        ]
        ids += sorted(sent.message_id for sent in await asyncio.gather(*some))
    return ids


async def _peak(sinkhole: Sinkhole) -> int:
    """Watch until all have come; give the most connections that were open at a time."""
    peak = 1
    while sinkhole.dots < WAITING:
        peak = max(peak, len(sinkhole.open))
        await asyncio.sleep(0.005)
    return peak


@pytest.mark.long
@pytest.mark.timeout(240)
async def test_nothing_is_lost_no_herd_comes_and_the_order_is_kept(
    data_dir: Path, database_url: str
) -> None:
    data_dir.mkdir()
    sinkhole = Sinkhole()
    await sinkhole.start()
    sinkhole.stop()  # its port is known, and nobody listens there
    reports: list[DeliveryReport] = []
    async with replica(data_dir, database_url, program=IMPATIENT) as run, client_of(run) as client:
        await client.create_account(
            "demo", host="127.0.0.1", port=sinkhole.port, tls="none", max_connections=CONNECTIONS
        )

        async def follow() -> None:
            async for report in client.delivery_reports():
                reports.append(report)  # noqa: PERF401 - it is read while it grows

        following = asyncio.create_task(follow())
        sent = await _submit_all(client)
        await asyncio.sleep(AWAY_SECONDS)  # the test's ten minutes: probes fail meanwhile
        assert {report.event for report in reports} == {ReportEvent.REPORT_EVENT_BREAKER_OPENED}
        sinkhole.answers = lambda verb, port: HOLD if verb == "DOT" else ORDINARY
        await sinkhole.start()
        await eventually(lambda: sinkhole.held, "the probe is at its dot", seconds=60)
        health = await client.account_health("demo")
        assert health.breaker == account_pb2.BREAKER_STATE_OPEN
        assert len(sinkhole.open) == len(sinkhole.versions) == 1, "one probe, and nobody beside it"
        sinkhole.answers = lambda verb, port: ORDINARY
        sinkhole.release()
        assert await _peak(sinkhole) <= CONNECTIONS
        await eventually(lambda: len(reports) == WAITING + 2, "all are reported", seconds=60)
        following.cancel()
        await asyncio.wait([following])
    sinkhole.stop()
    _judge(reports, sent, list(sinkhole.versions))


def _judge(reports: list[DeliveryReport], sent: list[str], came: list[str]) -> None:
    events = Counter(report.event for report in reports)
    assert events == {
        ReportEvent.REPORT_EVENT_BREAKER_OPENED: 1,
        ReportEvent.REPORT_EVENT_BREAKER_CLOSED: 1,
        ReportEvent.REPORT_EVENT_SENT: WAITING,
    }
    assert {r.attempt for r in reports if r.event == ReportEvent.REPORT_EVENT_SENT} == {1}
    place = {message_id: number for number, message_id in enumerate(sent)}
    late = max(place[message_id] - at for at, message_id in enumerate(came))
    assert late <= CALLERS + 4 * CONNECTIONS, "but for what goes at the same time"
