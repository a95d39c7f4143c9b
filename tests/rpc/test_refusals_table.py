"""Every refusal has its code, its ErrorInfo and the field at fault, and leaves no row."""

from collections.abc import AsyncIterator

import grpc
import pytest
import pytest_asyncio
from mailproxy.v1 import message_pb2

from tests.support.calling import request, told_by
from tests.support.edge import raw_submit, refused
from tests.support.emails import composed
from tests.support.postgres import Cluster
from tests.support.refusals import BAD, Bad
from tests.support.served import Front, front_on

pytestmark = pytest.mark.asyncio(loop_scope="module")
INVALID = grpc.StatusCode.INVALID_ARGUMENT
CODES = {"ACCOUNT_NOT_FOUND": grpc.StatusCode.NOT_FOUND}
MIB = 1024 * 1024


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def front(postgres: Cluster) -> AsyncIterator[Front]:
    """One for all, since no test here may leave anything in it."""
    url = postgres.make_database()
    async with front_on(url) as one:
        await one.first.make_account()
        yield one
    postgres.drop_database(url)


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_bad_submission_is_refused_and_leaves_no_row(front: Front, bad: Bad) -> None:
    before = await front.rows()
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, bad.request)
    assert (refusal.code, refusal.reason) == (CODES.get(bad.reason, INVALID), bad.reason)
    assert refusal.fields == bad.fields
    assert bad.words in refusal.message
    assert await front.rows() == before


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_it_is_refused_by_watch_message_too(front: Front, bad: Bad) -> None:
    before = await front.rows()
    wanted = message_pb2.WatchMessageRequest(submit=bad.request)
    refusal = await front.first.refusal(front.first.messages.WatchMessage, wanted)
    assert refusal.reason == bad.reason
    assert refusal.fields == tuple(f"submit.{field}" for field in bad.fields) or (
        refusal.fields == ("submit",)  # the request is at fault itself
    )
    assert await front.rows() == before


async def test_each_is_refused_for_itself_in_a_batch(front: Front) -> None:
    before = await front.rows()
    results = await front.first.submit_all([bad.request for bad in BAD.values()])
    for number, (result, bad) in enumerate(zip(results, BAD.values(), strict=True)):
        refusal = told_by(result.error)
        assert (refusal.code, refusal.reason) == (CODES.get(bad.reason, INVALID), bad.reason)
        place = f"requests[{number}]"
        within = tuple(f"{place}.{field}" for field in bad.fields)
        assert refusal.fields in (within, (place,))
    assert await front.rows() == before


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ((), "TOKEN_MISSING"),
        ((("authorization", "Basic bXA6bXA="),), "TOKEN_MISSING"),
        ((("authorization", "Bearer mp_not-a-token-of-this-server"),), "TOKEN_INVALID"),
        ((("authorization", "Bearer " + "x" * 5000),), "TOKEN_INVALID"),
    ],
    ids=["no token", "no bearer token", "a wrong token", "an endless token"],
)
async def test_a_caller_without_a_good_token_is_refused(
    front: Front, metadata: tuple[tuple[str, str], ...], reason: str
) -> None:
    before = await front.rows()
    raw = request().SerializeToString()
    refusal = await refused(raw_submit(front.first.channel, raw, metadata=metadata))
    assert (refusal.code, refusal.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)
    assert await front.rows() == before


@pytest.mark.parametrize(
    ("raw", "code", "reason"),
    [
        (b"\x12\x02\xff\xfe", INVALID, "REQUEST_MALFORMED"),
        (b"\x0a\x7f\x01", INVALID, "REQUEST_MALFORMED"),
        (
            request(composed(text_body="x" * (33 * MIB))).SerializeToString(),
            INVALID,
            "REQUEST_TOO_LARGE",
        ),
        (b"x" * (41 * MIB), grpc.StatusCode.RESOURCE_EXHAUSTED, ""),
    ],
    ids=["invalid UTF-8", "truncated", "33 MiB", "past the transport's bound"],
)
async def test_bytes_that_are_no_request_get_a_clean_status(
    front: Front, raw: bytes, code: grpc.StatusCode, reason: str
) -> None:
    before = await front.rows()
    auth = front.first.auth
    refusal = await refused(raw_submit(front.first.channel, raw, metadata=auth))
    assert (refusal.code, refusal.reason) == (code, reason)
    assert await front.rows() == before
    assert (await front.first.submit(validate_only=True)).message_id == ""


async def test_a_message_of_33_mib_is_told_its_size_and_the_limit(front: Front) -> None:
    large = request(composed(text_body="x" * (33 * MIB)))
    refusal = await front.first.refusal(front.first.messages.SubmitMessage, large)
    size = str(large.ByteSize())
    assert refusal.metadata == {"size_bytes": size, "limit_bytes": str(32 * MIB)}


async def test_what_is_only_validated_leaves_no_row(front: Front) -> None:
    before = await front.rows()
    answer = await front.first.submit(validate_only=True, request_id="a")
    assert answer == message_pb2.SubmitMessageResponse()
    assert await front.rows() == before
