"""What /metrics says is what happened, under the names that were promised."""

import asyncio
import re
from collections.abc import Callable

from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import account_pb2, delivery_pb2, queue_pb2

from tests.support.calling import ahead, request
from tests.support.emails import composed
from tests.support.relay import ScriptedRelay
from tests.support.relay_script import Seen
from tests.support.served import dispatching
from tests.support.watched import Watched, number, promtool


def by_recipient(seen: Seen) -> str | None:
    if "failed" in seen.line:
        return "550 5.1.1 no such user"
    return "451 4.3.0 later" if "deferred" in seen.line else None


def per_hour(count: int) -> account_pb2.RateLimit:
    return account_pb2.RateLimit(count=count, window=Duration(seconds=3600))


async def submit(watched: Watched, account_id: str, *recipients: str) -> None:
    for recipient in recipients:
        email = composed({"account_id": account_id}, to=[{"address": f"{recipient}@b.test"}])
        await watched.front.first.submit(email)


async def until(watched: Watched, fulfilled: Callable[[str], bool]) -> str:
    """Give the first scrape that fulfils this."""
    async with asyncio.timeout(20):
        while not fulfilled(text := await watched.scrape()):
            await asyncio.sleep(0.05)
    return text


async def test_what_became_of_mail_is_counted_by_account_and_promtool_is_content(
    watched: Watched,
) -> None:
    front = watched.front
    tenant_id = str(await front.tenant_of(front.first))
    async with ScriptedRelay({"RCPT": by_recipient}) as relay, dispatching(front):
        await front.first.make_account(relay.port, "shop")
        await submit(watched, "shop", "ann", "bob", "failed", "deferred")
        account = {
            "tenant_id": tenant_id,
            "tenant_name": "default",
            "account_id": "shop",
            "account_name": "shop",
        }
        wanted = {
            "gmp_sent_total": 2.0,
            "gmp_errors_total": 1.0,
            "gmp_deferred_total": 1.0,
            "gmp_rate_limited_total": 0.0,
            "gmp_pending_messages": 1.0,
        }
        text = await until(
            watched, lambda text: {n: number(text, n, **account) for n in wanted} == wanted
        )
    assert number(text, "gmp_smtp_replies_total", **{"class": "5xx", "stage": "RCPT"})
    assert number(text, "gmp_smtp_replies_total", **{"class": "4xx", "stage": "RCPT"})
    assert number(text, "gmp_submit_to_sent_seconds_count", priority="medium")
    assert number(text, "gmp_attempt_duration_seconds_count", result="failed")
    assert number(text, "gmp_database_statement_duration_seconds_count", statement="settle")
    assert number(text, "gmp_smtp_connections_opened_total")
    assert number(text, "gmp_event_loop_lag_seconds_count", role="dispatcher")
    submitted = {"grpc_method": "mailproxy.v1.MessageService/SubmitMessage"}
    assert number(text, "grpc_server_call_started_total", **submitted)
    assert number(text, "grpc_server_call_duration_seconds_count", **submitted, grpc_status="OK")
    promtool("check", "metrics", given=text)


async def test_a_refused_row_of_the_outbox_is_an_error_of_no_account(watched: Watched) -> None:
    tenant_id = str(await watched.front.tenant_of(watched.front.first))
    async with dispatching(watched.front):
        await watched.front.link.execute("SELECT mailproxy.submit('{}'::json, tenant => 'default')")
        refused = {"tenant_id": tenant_id, "account_id": ""}
        await until(watched, lambda text: number(text, "gmp_errors_total", **refused) == 1)


async def test_a_batch_that_is_sent_again_is_answered_by_a_handful_of_statements(
    watched: Watched,
) -> None:
    first, statements = watched.front.first, "gmp_database_statement_duration_seconds_count"

    async def counted() -> float:
        """Give the statements so far: those of a marker are written with all before it."""
        before = number(await watched.scrape(), statements, statement="intake") or 0
        await first.submit()
        text = await until(
            watched, lambda text: (number(text, statements, statement="intake") or 0) > before
        )
        return number(text, statements, statement="other") or 0

    batch = [request(request_id=f"order-{n}") for n in range(200)]
    await first.submit_all(batch)
    began = await counted()
    assert all(one.response.replayed for one in await first.submit_all(batch))
    assert await counted() - began < 100


async def test_what_waits_is_told_by_account_and_priority(watched: Watched) -> None:
    front = watched.front
    await submit(watched, "demo", "ann", "bob")
    later = composed({"send_time": ahead(hours=1), "priority": 10})
    await front.first.submit(later)
    pause = queue_pb2.PauseQueueRequest(selector=delivery_pb2.Selector(account_id="demo"))
    await front.first.call(front.first.queue.PauseQueue, pause)

    text = await until(
        watched, lambda text: number(text, "gmp_pending_messages", account_id="demo") == 3
    )
    medium = {"account_id": "demo", "priority": "medium"}
    assert number(text, "gmp_queue_depth", **medium) == 2
    assert number(text, "gmp_queue_due", **medium) == 2
    assert number(text, "gmp_queue_due", account_id="demo", priority="immediate") == 0
    assert (number(text, "gmp_queue_oldest_due_seconds", **medium) or 0) > 0
    assert number(text, "gmp_account_paused", account_id="demo") == 1
    assert number(text, "gmp_database_up") == 1
    assert number(text, "gmp_dispatchers_alive") == 0


async def test_an_open_breaker_and_what_limits_have_left_are_told(watched: Watched) -> None:
    first = watched.front.first
    async with ScriptedRelay({"AUTH": "535 5.7.8 no"}) as broken, ScriptedRelay({}) as relay:
        secrets = {"username": "u", "password": "p", "ehlo_name": "a.test"}
        await first.make_account(broken.port, "broken", **secrets)
        await first.make_account(relay.port, "slow", limits=[per_hour(3)])
        async with dispatching(watched.front):
            await submit(watched, "broken", "ann")
            await submit(watched, "slow", *(f"u{n}" for n in range(5)))
            slow = {"account_id": "slow", "window": "hour", "unit": "recipients"}

            def all_is_told(text: str) -> bool:
                return (
                    number(text, "gmp_breaker_open", account_id="broken") == 1
                    and number(text, "gmp_rate_limit_headroom", **slow) == 0
                    and (number(text, "gmp_rate_limited_total", account_id="slow") or 0) > 0
                    and number(text, "gmp_sent_total", account_id="slow") == 3
                )

            text = await until(watched, all_is_told)
    assert number(text, "gmp_breaker_open", account_id="slow") == 0
    assert number(text, "gmp_rate_limit", **slow) == 3


async def test_each_help_text_says_when_to_worry(watched: Watched) -> None:
    text = await watched.scrape()
    helps = dict(re.findall(r"^# HELP (\S+) (.*)$", text, re.MULTILINE))
    assert len(helps) > 30
    silent = {name for name, words in helps.items() if "orry" not in words}
    assert silent == {"gmp_rate_limit"}
    from_database = {name for name, words in helps.items() if "From the database" in words}
    assert {"gmp_pending_messages", "gmp_breaker_open", "gmp_oldest_xmin_age"} <= from_database


async def test_a_follower_that_is_up_to_date_has_no_lag(watched: Watched) -> None:
    front = watched.front
    async with ScriptedRelay({}) as relay, dispatching(front), front.first.stream() as stream:
        await stream.next()
        await front.first.make_account(relay.port, "shop")
        await submit(watched, "shop", "ann")
        await stream.until(1)
        tenant_id = str(await front.tenant_of(front.first))
        lag = {"tenant_id": tenant_id, "tenant_name": "default"}
        await until(watched, lambda text: number(text, "gmp_report_lag_seconds", **lag) == 0)


async def test_a_database_that_cannot_be_read_is_told_and_the_rest_still_shown(
    watched: Watched,
) -> None:
    await watched.front.link.execute("ALTER TABLE mailproxy.deliveries RENAME TO gone")
    text = await until(watched, lambda text: number(text, "gmp_database_up") == 0)
    assert number(text, "gmp_pending_messages") is None
    assert number(text, "gmp_build_info") == 1


async def test_openmetrics_is_given_to_who_asks_for_it(watched: Watched) -> None:
    asked = {"accept": "application/openmetrics-text; version=1.0.0"}
    async with watched.http.get(watched.url + "/metrics", headers=asked) as answer:
        assert answer.content_type == "application/openmetrics-text"
        assert (await answer.text()).endswith("# EOF\n")
