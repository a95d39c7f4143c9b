from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from tests.support.edge import AUTH, TENANT, calling, raw_submit, refused, serving


async def test_a_call_without_a_token_is_unauthenticated_and_told_where_the_token_is() -> None:
    async with serving() as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, b"", metadata=()))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
    assert "data directory" in refusal.message


async def test_a_scheme_other_than_bearer_is_no_token() -> None:
    async with serving() as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, b"", metadata=(("authorization", "Basic x"),)))
    assert refusal.reason == "TOKEN_MISSING"


async def test_a_wrong_token_is_unauthenticated() -> None:
    wrong = (("authorization", "Bearer mp_wrong"),)
    async with serving() as served, calling(served) as channel:
        refusal = await refused(raw_submit(channel, b"", metadata=wrong))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def test_a_right_token_reaches_the_servicer_as_its_tenant() -> None:
    async with serving() as served, calling(served) as channel:
        answer = await raw_submit(channel, b"", metadata=AUTH)
    assert str(TENANT).encode() in answer


async def test_health_needs_no_token() -> None:
    async with serving() as served, calling(served) as channel:
        check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
        for service in ("", "mailproxy.v1.MessageService"):
            answer = await check(health_pb2.HealthCheckRequest(service=service).SerializeToString())
            assert health_pb2.HealthCheckResponse.FromString(answer).status == 1
