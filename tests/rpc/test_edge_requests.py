import asyncio

import grpc
from mailproxy.v1 import message_pb2
from mailproxy_server.rpc.call import Call

from tests.support.edge import accept, calling, raw_submit, refused, serving, until

INVALID = grpc.StatusCode.INVALID_ARGUMENT


async def test_a_string_that_is_not_utf8_is_malformed() -> None:
    async with serving() as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, b"\x12\x02\xff\xfe"))  # request_id
    assert (refusal.code, refusal.reason) == (INVALID, "REQUEST_MALFORMED")
    assert served.bugs == []


async def test_truncated_bytes_are_malformed() -> None:
    async with serving() as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, b"\x0a\x7f\x01"))
    assert refusal.reason == "REQUEST_MALFORMED"


async def test_a_request_past_the_limit_is_told_its_size_and_the_limit() -> None:
    async with serving(max_request_bytes=1000) as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, b"\x12\xe9\x07" + b"x" * 1001))
    assert (refusal.code, refusal.reason) == (INVALID, "REQUEST_TOO_LARGE")
    assert refusal.metadata == {"size_bytes": "1004", "limit_bytes": "1000"}


async def test_a_frame_past_the_transports_bound_gets_a_clean_status() -> None:
    async with serving(max_request_bytes=1000) as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, b"x" * 1251))
        assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert await raw_submit(channel, b"")


async def test_an_unknown_field_is_named_by_its_parent_and_number() -> None:
    request = message_pb2.SubmitMessageRequest(request_id="a")
    composed = message_pb2.ComposedContent()
    composed.MergeFromString(b"\x9a\x06\x01x")  # field 99
    request.email.composed.MergeFrom(composed)
    async with serving() as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, request.SerializeToString()))
    assert (refusal.code, refusal.reason) == (INVALID, "UNKNOWN_FIELD")
    assert refusal.fields == ("email.composed",)
    assert "99" in refusal.message


async def test_an_unknown_field_in_a_large_request_is_named_too() -> None:
    request = message_pb2.SubmitMessageRequest(request_id="a")
    request.email.raw_mime = b"x" * 300_000
    raw = request.SerializeToString() + b"\x9a\x06\x01x"
    async with serving(max_request_bytes=1 << 20) as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, raw))
    assert (refusal.reason, refusal.fields) == ("UNKNOWN_FIELD", ("request",))


async def test_a_map_entry_without_value_does_not_hide_an_unknown_field() -> None:
    entry = b"\x0a\x01k"  # key alone; written again it has two bytes more
    email = b"\x5a" + bytes([len(entry)]) + entry + b"\x78\x01"  # labels, and field 15
    raw = b"\x0a" + bytes([len(email)]) + email
    async with serving() as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, raw))
    assert (refusal.reason, refusal.fields) == ("UNKNOWN_FIELD", ("email",))


async def test_requests_past_the_budget_of_bytes_are_asked_to_come_again() -> None:
    gate = asyncio.Event()

    async def wait(request: object, call: Call) -> object:
        await gate.wait()
        return await accept(request, call)

    raw = message_pb2.SubmitMessageRequest(request_id="x" * 700).SerializeToString()
    async with serving(wait, inflight=1000) as served, calling(served) as channel:
        budget = served.registry.edge.budget
        first = asyncio.create_task(raw_submit(channel, raw))
        await until(lambda: budget.used == len(raw))
        refusal = await refused(raw_submit(channel, raw))
        gate.set()
        await first
        await until(lambda: budget.used == 0)
        assert await raw_submit(channel, raw)
    assert refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refusal.reason == "INFLIGHT_BYTES"
    assert refusal.retry_delay == 0.5
    assert refusal.pushback == "500"
