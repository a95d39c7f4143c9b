"""The ways in which the mail proxy before this one broke; none of them breaks this one.

(That two processes sent everything twice is in test_replicas_share.)
"""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from mailproxy import AsyncMailProxyClient, ConflictError, Message
from mailproxy.v1.delivery_pb2 import FailureReason, ReportEvent

from tests.support.postgres import Cluster
from tests.support.replicas import client_of, environment_of
from tests.support.serving import REAL, Run
from tests.support.sinkhole import LATER, ORDINARY, Sinkhole
from tests.support.telling import tell

LETTER = Message(from_address="a@a.test", to="b@b.test", subject="Order", text="Thanks.\n")


@pytest.fixture(scope="module")
def run(postgres: Cluster, lasting_data_dir: Path) -> Iterator[Run]:
    url = postgres.make_database()
    run = Run(lasting_data_dir, environment=environment_of(url), program=REAL).ready()
    yield run
    assert run.stop() == 0
    postgres.drop_database(url)


@pytest.fixture
async def sinkhole() -> AsyncIterator[Sinkhole]:
    async with Sinkhole() as sinkhole:
        yield sinkhole


@pytest.fixture
async def client(run: Run, sinkhole: Sinkhole) -> AsyncIterator[AsyncMailProxyClient]:
    async with client_of(run) as client:
        await client.update_account(
            "demo", allow_missing=True, host="127.0.0.1", port=sinkhole.port, tls="none"
        )
        yield client


async def test_after_one_451_the_second_attempt_has_the_message_to_the_byte(
    client: AsyncMailProxyClient, sinkhole: Sinkhole
) -> None:
    sinkhole.answers = lambda verb, _: LATER if verb == "DOT" else ORDINARY
    sent = await client.submit(**LETTER)
    events = []
    async for report in client.watch(sent.message_id):
        events.append(report.event)
        sinkhole.answers = lambda verb, _: ORDINARY
        await client.run_now(message_ids=[sent.message_id], include_retries=True)
    assert events == [ReportEvent.REPORT_EVENT_DEFERRED, ReportEvent.REPORT_EVENT_SENT]
    assert sinkhole.copies == {(sent.message_id, "b@b.test"): 1}
    assert len(sinkhole.versions[sent.message_id]) == 1
    assert not sinkhole.headless, "Date and Message-ID are there"


async def test_a_refused_recipient_of_an_accepted_mail_is_reported(
    client: AsyncMailProxyClient,
) -> None:
    sent = await client.submit(**LETTER | {"to": ["b@b.test", "refused-1@b.test"]})
    reports = {report.recipient: report async for report in client.watch(sent.message_id)}
    assert reports["b@b.test"].event == ReportEvent.REPORT_EVENT_SENT
    refused = reports["refused-1@b.test"]
    assert refused.event == ReportEvent.REPORT_EVENT_FAILED
    assert refused.reason == FailureReason.FAILURE_REASON_RECIPIENT_REFUSED
    assert (refused.reply.code, refused.reply.enhanced_code) == (550, "5.1.1")


async def test_an_id_that_is_sent_again_gets_the_same_answer(
    client: AsyncMailProxyClient, sinkhole: Sinkhole
) -> None:
    ordered: Message = {**LETTER, "request_id": "order-1"}
    first = await client.submit(**ordered)
    again = await client.submit(**ordered)
    assert (again.message_id, again.replayed) == (first.message_id, True)
    with pytest.raises(ConflictError) as refused:
        await client.submit(**ordered | {"text": "No thanks.\n"})
    assert refused.value.metadata["message_id"] == first.message_id
    assert [report.final async for report in client.watch(first.message_id)] == [True]
    assert sinkhole.copies == {(first.message_id, "b@b.test"): 1}


async def test_events_do_not_slow_it_down_and_all_reports_are_streamed(
    client: AsyncMailProxyClient, sinkhole: Sinkhole
) -> None:
    reports = client.delivery_reports()  # it starts at the first look: "now" would be too late
    seconds = []
    for _ in range(4):
        began = time.monotonic()
        sent = await client.submit_many([LETTER] * 1_000)
        waited_for = {one.message_id for one in sent if not isinstance(one, Exception)}
        assert len(waited_for) == 1_000
        async for report in reports:
            waited_for.discard(report.message_id)
            if not waited_for:
                break
        seconds.append(time.monotonic() - began)
    await reports.close()
    tell(f"seconds for each thousand: {[round(one, 1) for one in seconds]}")
    assert len(sinkhole.versions) == 4_000
    assert seconds[3] < 3 * max(seconds[0], 1.0)
