"""Limits, retries, fallbacks and capture: kept, given back, changed by mask, and announced."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2 as pb
from mailproxy_server.accounts.account import Account
from mailproxy_server.mail.errors import CallerError, InvalidFields
from mailproxy_server.rpc.accounts import AccountsServicer

from tests.support.accounts import Desk, desk_on, engine_of, make_tenant

MINUTE = Duration(seconds=60)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    async with desk_on(database_url) as desk:
        yield desk


def per_minute(count: int) -> pb.RateLimit:
    return pb.RateLimit(count=count, window=MINUTE)


async def test_what_is_not_said_has_its_default_and_is_given_back(desk: Desk) -> None:
    made = await desk.create("a")
    assert list(made.limits) == []
    assert made.limit_behavior == pb.LIMIT_BEHAVIOR_DEFER
    assert made.failover_patience == MINUTE
    assert made.retry == pb.RetryPolicy(
        first_delay=MINUTE,
        factor=2,
        max_delay=Duration(seconds=3600),
        jitter=0.25,
        max_age=Duration(seconds=5 * 86400),
    )
    assert not made.capture
    assert not made.HasField("oauth")


async def test_all_that_is_set_is_kept_and_can_be_written_back_as_it_was_read(desk: Desk) -> None:
    for name in ("spare", "other"):
        await desk.create(name)
    fields: dict[str, Any] = {
        "limits": [
            pb.RateLimit(count=14, window=Duration(seconds=1), unit=pb.RATE_UNIT_RECIPIENTS),
            pb.RateLimit(count=9, window=Duration(seconds=86400), unit=pb.RATE_UNIT_MESSAGES),
        ],
        "limit_behavior": pb.LIMIT_BEHAVIOR_REJECT,
        "rate_group": "ses",
        "retry": pb.RetryPolicy(
            first_delay=Duration(seconds=1, nanos=500_000_000),
            factor=1.5,
            max_delay=Duration(seconds=90),
            jitter=0.0,
            max_attempts=7,
            max_age=Duration(seconds=3600),
        ),
        "fallback_account_ids": ["spare", "other"],
        "failover_patience": Duration(),
        "capture": True,
    }
    made = await desk.create("a", **fields)
    assert made == await desk.get("a")
    for name, value in fields.items():
        assert getattr(made, name) == value, name
    again = await desk.manage(pb.ACCOUNT_ACTION_UPDATE, made, mask=["*"])
    made.etag = again.account.etag
    made.update_time.CopyFrom(again.account.update_time)
    assert again.account == made


async def test_what_is_populated_replaces_and_a_mask_empties(desk: Desk) -> None:
    await desk.create("spare")
    await desk.create("a", limits=[per_minute(1)], fallback_account_ids=["spare"], capture=True)
    after = await desk.update("a", retry=pb.RetryPolicy(max_attempts=3))
    assert (len(after.limits), after.retry.max_attempts, after.capture) == (1, 3, True)
    after = await desk.update("a", limits=[per_minute(2)], retry=pb.RetryPolicy(factor=3))
    assert [limit.count for limit in after.limits] == [2]
    assert (after.retry.factor, after.retry.max_attempts) == (3, 0)
    after = await desk.update("a", "limits", "retry", "fallback_account_ids", "capture")
    assert (list(after.limits), list(after.fallback_account_ids), after.capture) == ([], [], False)
    assert after.retry.factor == 2


async def test_a_fallback_has_to_exist_and_may_be_deleted_later(desk: Desk) -> None:
    await desk.create("spare")
    with pytest.raises(InvalidFields) as caught:
        await desk.create("a", fallback_account_ids=["spare", "gone"])
    (fault,) = caught.value.violations
    assert fault.field == "account.fallback_account_ids[1]"
    assert fault.description.endswith("Known accounts: spare")
    await desk.create("a", fallback_account_ids=["spare"])
    await desk.manage(pb.ACCOUNT_ACTION_DELETE, pb.Account(account_id="spare"))
    after = await desk.update("a", max_connections=2)
    assert list(after.fallback_account_ids) == ["spare"]
    with pytest.raises(InvalidFields, match="there is no account spare"):
        await desk.update("a", fallback_account_ids=["spare"])
    with pytest.raises(InvalidFields, match="take over from itself"):
        await desk.update("a", fallback_account_ids=["a"])


async def test_a_fallback_of_another_tenant_is_none(database_url: str) -> None:
    async with desk_on(database_url) as one, engine_of(database_url) as engine:
        await one.create("theirs")
        two = Desk(one.accounts, await make_tenant(engine, "two"))
        with pytest.raises(InvalidFields, match="Known accounts: none"):
            await two.create("a", fallback_account_ids=["theirs"])


async def test_a_refused_change_changes_nothing(desk: Desk) -> None:
    before = await desk.create("a", limits=[per_minute(1)])
    for bad in (pb.RateLimit(count=0, window=MINUTE), pb.RateLimit(count=1)):
        with pytest.raises(CallerError):
            await desk.update("a", limits=[per_minute(3), bad])
    assert await desk.get("a") == before


async def test_an_account_tells_how_it_fares_where_that_is_known(desk: Desk) -> None:
    await desk.create("a")
    request = pb.GetAccountRequest(account_id="a")
    assert not (await desk.servicer.GetAccount(request, desk.call)).HasField("health")

    async def health(tenant_id: object, account: Account) -> pb.AccountHealth:
        assert (tenant_id, account.account_id) == (desk.tenant_id, "a")
        return pb.AccountHealth(breaker=pb.BREAKER_STATE_OPEN)

    told = desk.servicer
    servicer = AccountsServicer(told._accounts, told._verify, told._has_queued, health=health)
    response = await servicer.GetAccount(request, desk.call)
    assert response.health.breaker == pb.BREAKER_STATE_OPEN
