import asyncio
import threading
from collections.abc import Iterator

import grpc
import pytest
from mailproxy import errors
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.sync import MailProxyClient

from tests.support.fake_server import PLAIN, FakeServer, plain, status
from tests.support.waiting import until


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as running:
        yield running


async def test_a_stream_that_is_cut_again_and_again_loses_and_doubles_nothing(
    server: FakeServer,
) -> None:
    server.report("m", 100)
    server.cut_after.extend([0, 3, 0, 10, 1, 50])
    async with (
        AsyncMailProxyClient(server.target) as client,
        client.delivery_reports() as reports,
    ):
        seen = [await anext(reports) for _ in range(100)]
        assert reports.cursor == "c100"
    assert [each.offset for each in seen] == list(range(1, 101))
    assert server.calls["StreamDeliveryReports"] == 7


def test_the_threaded_twin_loses_and_doubles_nothing_either(server: FakeServer) -> None:
    server.report("m", 100)
    server.cut_after.extend([0, 3, 0, 10, 1, 50])
    with MailProxyClient(server.target) as client, client.delivery_reports() as reports:
        seen = [next(reports) for _ in range(100)]
    assert [each.offset for each in seen] == list(range(1, 101))


async def test_a_restart_in_the_middle_costs_no_report(server: FakeServer) -> None:
    server.report("m", 10)
    async with (
        AsyncMailProxyClient(server.target) as client,
        client.delivery_reports() as reports,
    ):
        seen = [await anext(reports) for _ in range(5)]
        await asyncio.to_thread(server.stop)
        server.report("m", 10)
        reading = asyncio.create_task(anext(reports))
        server.restart()
        seen.append(await reading)
        seen += [await anext(reports) for _ in range(14)]
    assert [each.offset for each in seen] == list(range(1, 21))


async def test_a_stream_starts_where_it_is_told(server: FakeServer) -> None:
    server.report("m", 10)
    async with AsyncMailProxyClient(server.target) as client:
        async with client.delivery_reports("c7") as reports:
            assert (await anext(reports)).offset == 8
        async with client.delivery_reports("now") as reports:
            reading = asyncio.ensure_future(reports.__anext__())
            until_streaming = lambda: server.calls["StreamDeliveryReports"] == 2  # noqa: E731
            await asyncio.to_thread(until, until_streaming, "the stream")
            await asyncio.to_thread(until, lambda: reports.cursor == "c10", "its first response")
            server.report("m")
            assert (await reading).offset == 11


def test_reports_so_far_end_by_themselves(server: FakeServer) -> None:
    with MailProxyClient(server.target) as client:
        assert list(client.delivery_reports(follow=False)) == []
        server.report("m", 10)
        assert len(list(client.delivery_reports(follow=False))) == 10
        assert list(client.delivery_reports("c10", follow=False)) == []
        assert list(client.delivery_reports(account="other", follow=False)) == []


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        (grpc.StatusCode.FAILED_PRECONDITION, "CURSOR_FOREIGN", errors.CursorError),
        (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED", errors.CursorError),
        (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID", errors.AuthenticationError),
    ],
)
async def test_what_will_not_mend_is_raised(
    server: FakeServer, code: grpc.StatusCode, reason: str, kind: type[Exception]
) -> None:
    server.refuse = lambda method, request: status(code, reason)
    async with AsyncMailProxyClient(server.target) as client:
        with pytest.raises(kind):
            await anext(client.delivery_reports())
    with MailProxyClient(server.target) as threaded, pytest.raises(kind):
        next(threaded.delivery_reports())
    assert server.calls["StreamDeliveryReports"] == 2


async def test_a_server_that_never_answers_is_not_waited_for_without_end() -> None:
    async with AsyncMailProxyClient("127.0.0.1:1", timeout=1) as client:
        with pytest.raises(errors.UnavailableError):
            await anext(client.delivery_reports())


async def test_waiting_for_a_message_survives_a_cut_and_gives_the_last_reports(
    server: FakeServer,
) -> None:
    async with AsyncMailProxyClient(server.target) as client:
        submission = await client.submit(**PLAIN)
        server.report(submission.message_id, 3)
        server.cut_after.append(2)
        seen = []
        waiting = asyncio.create_task(submission.wait())
        async with client.watch(submission.message_id) as reports:
            async for report in reports:
                seen.append(report.offset)
                if len(seen) == 3:
                    server.report(submission.message_id, final=True)
        assert seen == [1, 2, 3, 4]
        assert [each.offset for each in await waiting] == [4]


async def test_waiting_ends_with_its_timeout(server: FakeServer) -> None:
    async with AsyncMailProxyClient(server.target) as client:
        submission = await client.submit(**PLAIN)
        with pytest.raises(errors.DeadlineError):
            await submission.wait(timeout=0.2)
    with MailProxyClient(server.target) as threaded:
        with pytest.raises(errors.DeadlineError):
            threaded.submit(**PLAIN).wait(timeout=0.2)
        server.report("m-x", final=True)
        assert threaded.submit(**plain("x")).wait()[0].final


def test_another_thread_can_end_a_stream(server: FakeServer) -> None:
    with MailProxyClient(server.target) as client:
        reports = client.delivery_reports()
        seen: list[list[object]] = []
        reader = threading.Thread(target=lambda: seen.append(list(reports)))
        reader.start()
        until(lambda: server.calls["StreamDeliveryReports"] == 1, "the stream")
        reports.close()
        reader.join(10)
        assert seen == [[]]
