"""The breaker and the throttle, through a real dispatcher: an account that cannot send waits,
costs no message anything, is told of once, and goes on as soon as it can."""

import asyncio
from typing import Any

import pytest
from mailproxy.v1 import account_pb2, delivery_pb2
from mailproxy_server.policy import breaker, throttle
from mailproxy_server.policy.breaker import Probing, Sign

from tests.support.calling import Caller
from tests.support.emails import composed
from tests.support.eventually import eventually
from tests.support.relay import CUT, ScriptedRelay
from tests.support.relay_script import Seen
from tests.support.served import Front, dispatching

OPENED = delivery_pb2.REPORT_EVENT_BREAKER_OPENED
CLOSED = delivery_pb2.REPORT_EVENT_BREAKER_CLOSED
SENT = delivery_pb2.REPORT_EVENT_SENT
DEFERRED = delivery_pb2.REPORT_EVENT_DEFERRED


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Breakers that are tried after tenths of a second, throttles that change at once."""
    monkeypatch.setitem(breaker.PROBING, Sign.FAULT, Probing(0.3, 1.0))
    monkeypatch.setitem(breaker.PROBING, Sign.QUOTA, Probing(0.3, 0.3))
    monkeypatch.setitem(breaker.PROBING, Sign.AUTH, Probing(600.0, 600.0))
    monkeypatch.setattr(throttle, "SETTLE_SECONDS", 0.2)
    monkeypatch.setattr(throttle, "CLEAN_SECONDS", 0.5)


async def health_of(caller: Caller, account_id: str) -> account_pb2.AccountHealth:
    (status,) = (await caller.status(account_id)).accounts
    return status.health


async def until_open(caller: Caller, account_id: str) -> account_pb2.AccountHealth:
    async with asyncio.timeout(20):
        while True:
            health = await health_of(caller, account_id)
            if health.breaker == account_pb2.BREAKER_STATE_OPEN:
                return health
            await asyncio.sleep(0.02)


async def until_probed(caller: Caller, account_id: str, before: account_pb2.AccountHealth) -> None:
    """Wait until a probe has failed: the next one is at another time then."""
    async with asyncio.timeout(20):
        while (await health_of(caller, account_id)).next_probe_time == before.next_probe_time:
            await asyncio.sleep(0.02)


async def submit(front: Front, account_id: str, count: int) -> list[str]:
    email = composed({"account_id": account_id})
    return [(await front.first.submit(email)).message_id for _ in range(count)]


async def test_a_relay_that_is_away_costs_no_attempt_and_no_place_and_is_told_of_once(
    front: Front, quick: None
) -> None:
    relay = ScriptedRelay()
    await relay.start()
    await relay.stop()  # its port is known, and nobody listens there
    await front.first.make_account(relay.port, "away", max_connections=3)
    async with dispatching(front), front.first.stream() as stream:
        sent = await submit(front, "away", 20)
        health = await until_open(front.first, "away")
        assert health.reason == delivery_pb2.FAILURE_REASON_RELAY_UNREACHABLE
        await until_probed(front.first, "away", health)
        await relay.start()
        reports = await stream.until(22)
        await relay.stop()
    assert [report.event for report in reports] == [OPENED, *[SENT] * 0, *_rest(reports)]
    assert (reports[0].account_id, reports[0].message_id, reports[0].recipient) == ("away", "", "")
    events = [report.event for report in reports]
    assert events.count(OPENED) == events.count(CLOSED) == 1
    assert events.count(SENT) == 20
    assert {report.attempt for report in reports if report.event == SENT} == {1}
    came = [message.header("X-Mailproxy-Id") for message in relay.messages]
    assert came[0] == sent[0], "the probe is the first of them"
    assert relay.peak <= 3


def _rest(reports: list[Any]) -> list[int]:
    return [report.event for report in reports[1:]]


async def test_a_refused_password_opens_it_at_once_and_a_new_one_closes_it_at_once(
    front: Front, quick: None
) -> None:
    async with ScriptedRelay(credentials=("shop", "right")) as relay, dispatching(front):
        await front.first.make_account(relay.port, "auth", username="shop", password="wrong")
        async with front.first.stream() as stream:
            await submit(front, "auth", 3)
            health = await until_open(front.first, "auth")
            assert health.reason == delivery_pb2.FAILURE_REASON_RELAY_AUTH
            assert health.reply.code == 535
            tried = len(relay.lines("AUTH"))
            account = account_pb2.Account(account_id="auth", password="right")
            action = account_pb2.ACCOUNT_ACTION_UPDATE
            change = account_pb2.ManageAccountRequest(action=action, account=account)
            await front.first.call(front.first.accounts.ManageAccount, change)
            reports = await stream.until(5)
        assert tried <= 10
    assert [report.event for report in reports] == [OPENED, CLOSED, SENT, SENT, SENT]


async def test_a_used_up_quota_fails_no_message_and_the_account_goes_on_when_it_is_over(
    front: Front, quick: None
) -> None:
    over = "550 5.4.5 Daily user sending limit exceeded"
    async with ScriptedRelay({"DOT": [over, over, None]}) as relay, dispatching(front):
        await front.first.make_account(relay.port, "quota", max_connections=1)
        async with front.first.stream() as stream:
            await submit(front, "quota", 2)
            reports = await stream.until(6)
    events = [report.event for report in reports]
    assert events.count(SENT) == 2
    assert events.count(OPENED) == events.count(CLOSED) == 1
    assert delivery_pb2.REPORT_EVENT_FAILED not in events
    (opened,) = [report for report in reports if report.event == OPENED]
    assert opened.reason == delivery_pb2.FAILURE_REASON_QUOTA_EXHAUSTED
    assert {report.attempt for report in reports if report.event == SENT} == {1}


async def test_too_many_connections_halve_them_and_they_come_back(
    front: Front, quick: None
) -> None:
    held: set[int] = set()

    def greet(seen: Seen) -> str | None:
        held.add(seen.connection)
        return "421 4.7.0 too many connections" if relay.open > 2 else None

    relay = ScriptedRelay({"CONNECT": greet})
    async with relay, dispatching(front):
        await front.first.make_account(relay.port, "slow", max_connections=8)
        await submit(front, "slow", 60)
        await eventually(lambda: len(relay.messages) == 60, "all are sent", seconds=30)
        health = await health_of(front.first, "slow")
        assert health.breaker == account_pb2.BREAKER_STATE_CLOSED


async def test_mail_moves_to_a_fallback_while_the_breaker_is_open_and_what_is_doubtful_stays(
    front: Front, quick: None
) -> None:
    async with ScriptedRelay({"DOT": CUT}) as cuts, ScriptedRelay() as other, dispatching(front):
        await front.first.make_account(cuts.port, "home", max_connections=1)
        await front.first.make_account(other.port, "spare")
        (doubtful,) = await submit(front, "home", 1)
        await eventually(lambda: len(cuts.messages) == 1, "it was cut after its dot")
        await cuts.stop()
        await front.link.execute(
            """UPDATE mailproxy.accounts SET fallback_account_ids = '{spare}',
                 failover_patience_seconds = 0.1, revision = revision + 1,
                 generation = generation + 1 WHERE account_id = 'home'"""
        )
        await front.link.execute("SELECT pg_notify('mailproxy_accounts', '')")
        moved = await submit(front, "home", 30)
        await eventually(lambda: len(other.messages) == 30, "the fallback sends", seconds=30)
        came = {message.header("X-Mailproxy-Id") for message in other.messages}
        assert came == set(moved)
        assert doubtful not in came
        async with asyncio.timeout(20):
            while (
                not (found := await front.first.get(moved[0])).recipients[0].HasField("last_report")
            ):
                await asyncio.sleep(0.02)
        assert found.account_id == "home"
        assert found.recipients[0].last_report.account_id == "spare"


async def test_an_account_that_captures_says_nothing_to_its_relay(front: Front) -> None:
    async with ScriptedRelay() as relay, dispatching(front):
        await front.first.make_account(relay.port, "stage")
        await front.link.execute(
            "UPDATE mailproxy.accounts SET capture = true WHERE account_id = 'stage'"
        )
        async with front.first.stream() as stream:
            await submit(front, "stage", 3)
            reports = await stream.until(3)
        assert [report.event for report in reports] == [delivery_pb2.REPORT_EVENT_CAPTURED] * 3
        assert all(report.final for report in reports)
        assert relay.opened == 0


async def test_a_refused_recipient_limit_splits_the_message_and_costs_no_attempt(
    front: Front,
) -> None:
    def two_at_most(seen: Seen) -> str | None:
        mails = [each for each in relay.commands if each.connection == seen.connection]
        since = max(i for i, each in enumerate(mails) if each.verb == "MAIL")
        asked = sum(each.verb == "RCPT" for each in mails[since:])
        return "452 4.5.3 too many recipients" if asked > 2 else None

    relay = ScriptedRelay({"RCPT": two_at_most})
    async with relay, dispatching(front):
        await front.first.make_account(relay.port, "few")
        to = [{"address": f"u{number}@b.test"} for number in range(7)]
        sent = await front.first.submit(composed({"account_id": "few"}, to=to))
        await eventually(
            lambda: sum(len(each.recipients) for each in relay.messages) == 7, "all have it"
        )
        async with asyncio.timeout(20):
            while True:
                found = await front.first.get(sent.message_id)
                if all(each.state == delivery_pb2.DELIVERY_STATE_SENT for each in found.recipients):
                    break
                await asyncio.sleep(0.05)
        assert {each.attempts for each in found.recipients} == {1}
