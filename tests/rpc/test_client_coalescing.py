import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from mailproxy import errors
from mailproxy.aio import AsyncMailProxyClient
from mailproxy.message import Message
from mailproxy.sync import MailProxyClient

from tests.support.fake_server import PLAIN, FakeServer, plain, status
from tests.support.waiting import until

REFUSED = status(grpc.StatusCode.INVALID_ARGUMENT, "FIELD_INVALID", "requests[7].email: no")


async def test_a_lone_message_goes_at_once_and_as_unary() -> None:
    with FakeServer() as server:
        async with AsyncMailProxyClient(server.target) as client:
            for _ in range(3):
                await client.submit(**PLAIN)
        assert server.calls == {"SubmitMessage": 3}


async def test_concurrent_messages_travel_together_and_two_calls_are_in_flight() -> None:
    with FakeServer() as server:
        server.gate.clear()
        async with AsyncMailProxyClient(server.target) as client:
            callers = [asyncio.create_task(client.submit(**PLAIN)) for _ in range(64)]
            await asyncio.to_thread(until, lambda: len(server.batches) == 2, "two calls")
            late = [asyncio.create_task(client.submit(**PLAIN)) for _ in range(100)]
            await asyncio.sleep(0)
            assert server.batches == [32, 32]
            server.gate.set()
            await asyncio.gather(*callers, *late)
        assert sum(server.batches) == 164
        assert len(server.batches) <= 4


async def test_one_bad_message_fails_alone() -> None:
    with FakeServer() as server:
        server.refuse = lambda method, request: (
            REFUSED if method == "submit" and request.request_id == "7" else None
        )
        async with AsyncMailProxyClient(server.target) as client:
            calls = (client.submit(**plain(str(n))) for n in range(20))
            found = await asyncio.gather(*calls, return_exceptions=True)
            many = await client.submit_many([plain(str(n)) for n in range(20)])
    for results in (found, many):
        assert [n for n, each in enumerate(results) if isinstance(each, Exception)] == [7]
        assert isinstance(results[7], errors.InvalidRequestError)


async def test_the_deadline_of_one_caller_hurts_no_other() -> None:
    with FakeServer() as server:
        server.gate.clear()
        async with AsyncMailProxyClient(server.target) as client:
            patient = asyncio.gather(*(client.submit(**PLAIN) for _ in range(20)))
            hasty = asyncio.gather(
                *(client.submit(**PLAIN, timeout=1) for _ in range(20)), return_exceptions=True
            )
            await asyncio.to_thread(until, lambda: len(server.batches) == 2, "two calls")
            later = asyncio.gather(
                *(client.submit(**PLAIN, timeout=0.1) for _ in range(9)), return_exceptions=True
            )
            failed = [*await hasty, *await later]
            server.gate.set()
            assert len(await patient) == 20
            both = lambda: len(server.request_ids) >= 40  # noqa: E731
            await asyncio.to_thread(until, both, "the call that nobody waits for any more")
    assert all(isinstance(each, errors.DeadlineError) for each in failed)
    assert len(server.request_ids) == 40, "who gave up before the next batch is not sent"


async def test_a_cancelled_caller_is_taken_off_the_queue() -> None:
    with FakeServer() as server:
        server.gate.clear()
        async with AsyncMailProxyClient(server.target) as client:
            first = [asyncio.create_task(client.submit(**PLAIN)) for _ in range(32)]
            await asyncio.to_thread(until, lambda: len(server.batches) == 2, "two calls")
            second = [asyncio.create_task(client.submit(**PLAIN)) for _ in range(10)]
            await asyncio.sleep(0)
            for task in second[:9] + first[:1]:
                task.cancel()
            server.gate.set()
            await asyncio.gather(*first[1:], second[9])
    assert len(server.request_ids) == 33


async def test_a_batch_is_split_where_it_would_be_too_large() -> None:
    with FakeServer() as server:
        async with AsyncMailProxyClient(server.target) as client:
            big = Message(from_address="a@x.test", to="b@y.test", text="x" * 1_500_000)
            await client.submit_many([big] * 5)
    assert max(server.batches) == 2
    assert sum(server.batches) + server.calls["SubmitMessage"] == 5


@pytest.mark.parametrize("coalesce", [True, False])
def test_threads_share_calls_unless_told_otherwise(coalesce: bool) -> None:
    with FakeServer() as server, MailProxyClient(server.target, coalesce=coalesce) as client:
        server.gate.clear()
        with ThreadPoolExecutor(20) as threads:
            waiting = [threads.submit(client.submit, **PLAIN) for _ in range(20)]
            expected = 2 if coalesce else 20
            until(lambda: server.calls.total() == expected, f"{expected} calls")
            server.gate.set()
            assert len({each.result().message_id for each in waiting}) == 20
        together = sum(server.batches)
        assert together + server.calls["SubmitMessage"] == 20
        assert together >= 10 if coalesce else together == 0


def test_one_bad_message_among_threads_fails_alone_and_so_does_one_late_thread() -> None:
    with FakeServer() as server, MailProxyClient(server.target) as client:
        server.refuse = lambda method, request: (
            REFUSED if method == "submit" and request.request_id == "7" else None
        )
        server.gate.clear()
        with ThreadPoolExecutor(21) as threads:
            calls = [threads.submit(client.submit, **plain(str(n))) for n in range(20)]
            until(lambda: server.calls.total() == 2, "two calls")
            with pytest.raises(errors.DeadlineError):
                client.submit(**plain("late"), timeout=0.1)
            server.gate.set()
            failed = [n for n, each in enumerate(calls) if each.exception()]
        assert failed == [7]
        assert "late" not in server.request_ids


def test_a_thread_that_starts_the_call_of_others_keeps_its_own_deadline() -> None:
    with FakeServer() as server, MailProxyClient(server.target) as client:
        server.gate.clear()
        found: list[object] = []
        other = threading.Thread(target=lambda: found.append(client.submit(**PLAIN)))
        other.start()
        until(lambda: server.calls.total() == 1, "a call")
        with pytest.raises(errors.DeadlineError):
            client.submit(**PLAIN, timeout=0.1)
        server.gate.set()
        other.join(10)
        assert len(found) == 1
