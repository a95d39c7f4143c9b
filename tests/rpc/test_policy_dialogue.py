"""What each misbehaviour of a relay comes to: its reports, and what is not used again.

Through the real dispatcher to a scripted relay. After the message that it happens to, another one
goes by the same account, over one connection at a time.
"""

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from mailproxy.v1 import account_pb2, delivery_pb2
from mailproxy_server.app import dispatch
from mailproxy_server.smtp.relay import Timeouts

from tests.support.certificates import certificates
from tests.support.emails import composed
from tests.support.relay import CUT, SILENCE, Say, ScriptedRelay
from tests.support.served import Front, role, settings_of

HASTY = Timeouts(connect=2, session=2, mail=2, data=2, body=2, dot=2, check=2)
"""Of the cases that hang; none of the others may end because the machine is busy."""
SENT = "SENT"
EVENTS = delivery_pb2.ReportEvent
REASONS = delivery_pb2.FailureReason


class Case(NamedTuple):
    """`script` is what the relay says the first time; `events` become of the first message, as
    "EVENT" or "EVENT REASON"; `anew`: the next message must come over another connection."""

    name: str
    script: dict[str, Any]
    events: list[str]
    anew: bool


def once(answer: Any) -> list[Any]:
    """Say this once, and behave from then on."""
    return [answer, None]


def silent(*verbs: str) -> dict[str, Any]:
    """Hang from the first of these on: what was pipelined after it has no answer either."""
    return {verb: once(SILENCE) for verb in verbs}


MANY = b"250 2.1.0 ok\r\n" * 4
CASES = [
    Case("greeting 421", {"CONNECT": once("421 4.3.2 later")}, [SENT], anew=False),
    Case("greeting 554", {"CONNECT": once("554 5.3.2 no")}, [SENT], anew=False),
    Case("greeting hangs", {"CONNECT": once(SILENCE)}, [SENT], anew=False),
    Case("EHLO 451", {"EHLO": once("451 4.3.0 later")}, [SENT], anew=False),
    Case("EHLO 550", {"EHLO": once("550 5.7.0 no"), "HELO": once("550 no")}, [SENT], anew=False),
    Case("EHLO hangs", {"EHLO": once(SILENCE)}, [SENT], anew=False),
    Case("EHLO cut", {"EHLO": once(CUT)}, [SENT], anew=False),
    Case("MAIL 451", {"MAIL": once("451 4.3.0 later")}, ["DEFERRED SENDER_REFUSED"], anew=False),
    Case("MAIL 550", {"MAIL": once("550 5.1.8 no")}, ["FAILED SENDER_REFUSED"], anew=False),
    Case("MAIL 421", {"MAIL": ["421 4.3.2 bye", "421 4.3.2 bye", None]}, [SENT], anew=False),
    Case("MAIL hangs", silent("MAIL", "RCPT", "DATA"), ["DEFERRED RELAY_UNREACHABLE"], anew=True),
    Case("RCPT 450", {"RCPT": once("450 4.2.1 later")}, ["DEFERRED RECIPIENT_REFUSED"], anew=False),
    Case("RCPT 550", {"RCPT": once("550 5.1.1 none")}, ["FAILED RECIPIENT_REFUSED"], anew=False),
    Case(
        "RCPT 421",
        {"RCPT": once(Say("421 4.3.2 bye", cut=True))},
        ["DEFERRED RELAY_UNREACHABLE", SENT],
        anew=True,
    ),
    Case("RCPT hangs", silent("RCPT", "DATA"), ["DEFERRED RELAY_UNREACHABLE"], anew=True),
    Case("RCPT cut", {"RCPT": once(CUT)}, ["DEFERRED RELAY_UNREACHABLE"], anew=True),
    Case("DATA 451", {"DATA": once("451 4.3.0 later")}, ["DEFERRED CONTENT_REFUSED"], anew=False),
    Case("DATA 554", {"DATA": once("554 5.6.0 no")}, ["FAILED CONTENT_REFUSED"], anew=False),
    Case("DATA hangs", {"DATA": once(SILENCE)}, ["DEFERRED RELAY_UNREACHABLE"], anew=True),
    Case("DATA cut", {"DATA": once(CUT)}, ["DEFERRED RELAY_UNREACHABLE"], anew=True),
    Case("dot 451", {"DOT": once("451 4.3.0 later")}, ["DEFERRED CONTENT_REFUSED"], anew=False),
    Case("dot 554", {"DOT": once("554 5.7.1 spam")}, ["FAILED CONTENT_REFUSED"], anew=False),
    Case(
        "dot 421",
        {"DOT": once(Say("421 4.3.2 bye", cut=True))},
        ["DEFERRED RELAY_UNREACHABLE", SENT],
        anew=True,
    ),
    Case("dot hangs", {"DOT": once(SILENCE)}, ["DEFERRED OUTCOME_UNKNOWN"], anew=True),
    Case("dot cut", {"DOT": once(CUT)}, ["DEFERRED OUTCOME_UNKNOWN"], anew=True),
    Case("dot nonsense", {"DOT": once("hello there")}, ["DEFERRED OUTCOME_UNKNOWN"], anew=True),
    Case("dripping", {"DOT": once(Say("250 2.0.0 slowly", drip=0.02))}, [SENT], anew=False),
    Case(
        "a reply too many",
        {
            "MAIL": once(
                Say("250 2.1.0 ok", extra=b"250 2.1.0 ok\r\n250 2.1.0 ok\r\n250 2\r\n250 2\r\n")
            )
        },
        ["DEFERRED"],
        anew=True,
    ),
    Case(
        "354 after all were refused",
        {"RCPT": once("550 5.1.1 none"), "DATA": once("354 go on"), "DOT": once("554 none")},
        ["FAILED RECIPIENT_REFUSED"],
        anew=False,
    ),
]


def told(report: delivery_pb2.DeliveryReport) -> str:
    event = EVENTS.Name(report.event).removeprefix("REPORT_EVENT_")
    reason = REASONS.Name(report.reason).removeprefix("FAILURE_REASON_")
    return f"{event} {reason}" if report.reason else event


def dispatching(front: Front, timeouts: Timeouts | None = None) -> Any:
    async def run(settings: Any, lifeline: Any, url: str) -> None:
        await dispatch.run(settings, lifeline, url, dispatch.Seams(timeouts=timeouts))

    return role(run, settings_of(), front.url)


async def of_message(stream: Any, message_id: str, count: int) -> list[str]:
    """Give the first reports of a message."""
    async with asyncio.timeout(20):
        while True:
            mine = [each for each in stream.reports if each.message_id == message_id]
            if len(mine) >= count:
                return [told(each) for each in mine]
            await stream.next()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_each_misbehaviour_has_its_reports_and_its_connection_is_used_rightly(
    front: Front, case: Case
) -> None:
    hangs = any(SILENCE in said for said in case.script.values())
    async with ScriptedRelay(case.script) as relay, dispatching(front, HASTY if hangs else None):
        await front.first.make_account(relay.port, "one", max_connections=1)
        async with front.first.stream() as stream:
            first = await front.first.submit(composed({"account_id": "one"}))
            events = await of_message(stream, first.message_id, len(case.events))
            assert all(
                found.startswith(wanted) for found, wanted in zip(events, case.events, strict=True)
            ), events
            opened, last = relay.opened, relay.commands[-1].connection
            second = await front.first.submit(composed({"account_id": "one"}))
            assert await of_message(stream, second.message_id, 1) == [SENT]
        came = [each.connection for each in relay.messages if each.answer == 250]
        if case.anew and SENT not in case.events:
            assert came[-1] > last
            assert relay.opened == opened + 1
        else:
            assert relay.opened == opened, "a good connection is used again"


async def test_recipients_are_judged_one_by_one(front: Front) -> None:
    def refuse_bob(seen: Any) -> str | None:
        return "550 5.1.1 no such user" if "bob@" in seen.line else None

    async with ScriptedRelay({"RCPT": refuse_bob}) as relay, dispatching(front):
        await front.first.make_account(relay.port, "one")
        to = [{"address": f"{name}@b.test"} for name in ("ann", "bob", "eve")]
        async with front.first.stream() as stream:
            await front.first.submit(composed({"account_id": "one"}, to=to))
            reports = await stream.until(3)
    assert {each.recipient.split("@")[0]: told(each) for each in reports} == {
        "ann": SENT,
        "bob": "FAILED RECIPIENT_REFUSED",
        "eve": SENT,
    }


def _stripped() -> tuple[ScriptedRelay, str]:
    return ScriptedRelay(), ""


def _expired() -> tuple[ScriptedRelay, str]:
    made = certificates(expired=True)
    return ScriptedRelay(tls=made.server), made.authority


def _wrong_name() -> tuple[ScriptedRelay, str]:
    made = certificates("other.test")
    return ScriptedRelay(tls=made.server), made.authority


def _injected() -> tuple[ScriptedRelay, str]:
    made = certificates()
    script = {"STARTTLS": Say("220 go ahead", extra=b"250 2.0.0 injected\r\n")}
    return ScriptedRelay(script, tls=made.server), made.authority


@pytest.mark.parametrize("make", [_stripped, _expired, _wrong_name, _injected])
async def test_without_the_tls_that_was_asked_for_nothing_is_said_and_the_account_waits(
    front: Front, make: Callable[[], tuple[ScriptedRelay, str]]
) -> None:
    relay, authority = make()
    async with relay, dispatching(front):
        account = account_pb2.Account(
            account_id="tls",
            host="127.0.0.1",
            port=relay.port,
            tls=account_pb2.TLS_MODE_STARTTLS,
            tls_ca_certificates=authority,
            username="shop",
            password="secret-canary",
        )
        action = account_pb2.ACCOUNT_ACTION_CREATE
        wanted = account_pb2.ManageAccountRequest(action=action, account=account)
        await front.first.call(front.first.accounts.ManageAccount, wanted)
        async with front.first.stream() as stream:
            sent = await front.first.submit(composed({"account_id": "tls"}))
            (report,) = await stream.until(1)
        assert told(report) == "BREAKER_OPENED RELAY_TLS"
        assert not {"AUTH", "MAIL"} & set(relay.verbs())
        found = await front.first.get(sent.message_id)
        assert found.recipients[0].attempts == 0
