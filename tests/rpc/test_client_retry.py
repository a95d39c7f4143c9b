import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from mailproxy import errors
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.sync import MailProxyClient

from tests.support.fake_server import PLAIN, UNAVAILABLE, FakeServer, plain, status


def refusing(times: int, what: Any = UNAVAILABLE, on: str = "submit") -> Callable[[str, Any], Any]:
    left = [what] * times
    return lambda method, request: left.pop() if method == on and left else None


async def test_a_refused_submission_is_sent_again_with_the_same_request_id() -> None:
    with FakeServer() as server:
        server.refuse = refusing(3)
        async with AsyncMailProxyClient(server.target) as client:
            submission = await client.submit(**PLAIN)
        assert server.request_ids == [submission.request_id] * 4
        assert len(server.messages) == 1


def test_the_threaded_twin_does_the_same() -> None:
    with FakeServer() as server:
        server.refuse = refusing(3)
        with MailProxyClient(server.target) as client:
            submission = client.submit(**PLAIN)
            assert client.submit(**plain(submission.request_id)).replayed
        assert server.request_ids == [submission.request_id] * 5
        assert len(server.messages) == 1


async def test_an_answer_lost_with_its_connection_is_asked_for_again() -> None:
    with FakeServer() as server:
        cut = refusing(1, status(grpc.StatusCode.UNAVAILABLE), on="answered")
        server.refuse_answer = cut
        async with AsyncMailProxyClient(server.target) as client:
            submission = await client.submit(**PLAIN)
        assert submission.replayed
        assert len(server.messages) == 1


async def test_a_server_that_comes_back_within_the_deadline_costs_nothing() -> None:
    with FakeServer() as server:
        server.stop()
        async with AsyncMailProxyClient(server.target) as client:
            server.restart()
            assert (await client.submit(**PLAIN)).message_id
            assert (await client.queue_status()).head_offset == 0


async def test_retry_info_is_waited_for_and_too_long_a_wait_is_refused_at_once() -> None:
    full = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=0.3)
    later = status(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", retry_after=60)
    with FakeServer() as server:
        async with AsyncMailProxyClient(server.target) as client:
            server.refuse = refusing(1, full)
            await client.submit(**PLAIN)
            first, second = server.times[-2:]
            assert second - first >= 0.3
            server.refuse = refusing(1, later)
            with pytest.raises(errors.OverloadedError) as caught:
                await client.submit(**PLAIN)
            assert (caught.value.reason, caught.value.retry_after) == ("QUEUE_FULL", 60)
            assert caught.value.metadata["request_id"] == server.request_ids[-1]


async def test_a_caller_fault_is_raised_at_once_and_names_its_field() -> None:
    wrong = status(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", "email.to: is empty")
    with FakeServer() as server:
        server.refuse = refusing(9, wrong)
        async with AsyncMailProxyClient(server.target) as client:
            with pytest.raises(errors.InvalidRequestError, match="is empty"):
                await client.submit(**PLAIN)
        assert len(server.request_ids) == 1


def test_without_retry_the_first_failure_is_the_last() -> None:
    with FakeServer() as server:
        server.refuse = lambda method, request: UNAVAILABLE
        with MailProxyClient(server.target, retry=False) as client:
            for call in (client.queue_status, lambda: client.submit(**PLAIN)):
                with pytest.raises(errors.UnavailableError):
                    call()
        assert server.calls == {"GetQueueStatus": 1, "SubmitMessage": 1}


@pytest.mark.parametrize("coalesce", [True, False])
def test_a_deadline_ends_the_call_and_its_retries(coalesce: bool) -> None:
    with FakeServer() as server:
        server.refuse = lambda method, request: UNAVAILABLE
        with MailProxyClient(server.target, coalesce=coalesce) as client:
            # No pause fits any more, or the last attempt is cut short: whichever comes first.
            with pytest.raises((errors.UnavailableError, errors.DeadlineError)):
                client.submit(**PLAIN, timeout=1)
            assert 1 < server.calls["SubmitMessage"] < 10
            server.gate.clear()
            with pytest.raises(errors.DeadlineError):
                client.submit(**PLAIN, timeout=0.3)
            with pytest.raises(errors.DeadlineError):
                client.queue_status(timeout=0.3)


async def test_every_call_carries_a_deadline_and_the_token() -> None:
    with FakeServer() as server:
        async with AsyncMailProxyClient(server.target, "t0ken") as client:
            await client.submit(**PLAIN)
            await client.queue_status()
            await client.run_now(message_ids=["m"])
        assert all(each["authorization"] == "Bearer t0ken" for each in server.metadata)
        assert all(8 < each <= 10.1 for each in server.timeouts)


async def test_a_closed_client_says_so() -> None:
    with FakeServer() as server:
        client = AsyncMailProxyClient(server.target)
        await client.close()
        with pytest.raises(errors.UnavailableError, match="closed"):
            await client.submit(**PLAIN)
        threaded = MailProxyClient(server.target)
        threaded.submit(**PLAIN)
        threaded.close()
        with pytest.raises(errors.UnavailableError, match="closed"):
            threaded.submit(**PLAIN)
        with pytest.raises(errors.UnavailableError, match="closed"):
            threaded.queue_status()


def test_one_client_serves_one_event_loop_after_another() -> None:
    with FakeServer() as server:
        client = AsyncMailProxyClient(server.target)
        for _ in range(3):
            assert asyncio.run(_submit_some(client)) == 5
        assert len(server.messages) == 15


async def _submit_some(client: AsyncMailProxyClient) -> int:
    return len(await asyncio.gather(*(client.submit(**PLAIN) for _ in range(5))))
