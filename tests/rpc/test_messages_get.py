"""GetMessage: what was submitted, where each recipient stands, and every dialogue."""

from google.protobuf.duration_pb2 import Duration
from mailproxy.v1 import delivery_pb2, message_pb2

from tests.support.calling import ahead
from tests.support.emails import composed, raw
from tests.support.relay import CUT, ScriptedRelay, Seen
from tests.support.relay_script import Script
from tests.support.served import Front, dispatching, front_on, queue_of

QUEUED, SENDING = delivery_pb2.DELIVERY_STATE_QUEUED, delivery_pb2.DELIVERY_STATE_SENDING
SENT, FAILED = delivery_pb2.DELIVERY_STATE_SENT, delivery_pb2.DELIVERY_STATE_FAILED
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


async def test_everything_that_was_submitted_is_told(front: Front) -> None:
    later = ahead(hours=1)
    email = composed(
        {
            "account_id": "demo",
            "priority": "PRIORITY_HIGH",
            "send_time": later,
            "ttl": Duration(seconds=60),
            "labels": {"kind": "news"},
            "metadata": {"key": "schlüssel 🔑"},
            "envelope": {"return_path": ""},
        },
        subject="Grüße",
    )
    answer = await front.first.submit(email, request_id="a", traceparent=TRACE)
    got = await front.first.get(answer.message_id)
    assert (got.message_id, got.request_id) == (answer.message_id, "a")
    assert (got.account_id, got.priority) == ("demo", delivery_pb2.PRIORITY_HIGH)
    assert (got.return_path, got.subject, got.traceparent) == ("", "Grüße", TRACE)
    assert (dict(got.labels), dict(got.metadata)) == ({"kind": "news"}, {"key": "schlüssel 🔑"})
    assert got.accept_time == answer.accept_time
    assert abs(got.send_time.ToMicroseconds() - later.ToMicroseconds()) <= 1
    assert got.expire_time.ToMicroseconds() == got.send_time.ToMicroseconds() + 60_000_000
    (only,) = got.recipients
    assert (only.recipient, only.state, only.attempts) == ("ann@example.net", QUEUED, 0)
    assert only.next_attempt_time == got.send_time
    assert not only.HasField("last_report")


async def test_what_was_not_given_is_absent(front: Front) -> None:
    answer = await front.first.submit(raw())
    got = await front.first.get(answer.message_id, include_attempts=True)
    assert (got.request_id, got.subject, got.traceparent) == ("", "", "")
    assert not got.HasField("send_time")
    assert not got.HasField("expire_time")
    assert (len(got.labels), len(got.metadata), len(got.attempts)) == (0, 0, 0)
    assert got.return_path == "shop@example.com"
    assert got.priority == delivery_pb2.PRIORITY_MEDIUM


async def test_the_calls_own_trace_context_is_kept_with_the_message(front: Front) -> None:
    metadata = (*front.first.auth, ("traceparent", TRACE))
    wanted = message_pb2.SubmitMessageRequest(email=composed())
    answer = await front.first.messages.SubmitMessage(wanted, metadata=metadata, timeout=20)
    assert (await front.first.get(answer.message_id)).traceparent == TRACE


async def test_a_claimed_recipient_is_sending_and_waits_for_nothing(front: Front) -> None:
    answer = await front.first.submit()
    async with queue_of(front, front.first) as queue:
        await queue.claim()
    (only,) = (await front.first.get(answer.message_id)).recipients
    assert only.state == SENDING
    assert not only.HasField("next_attempt_time")


async def test_each_attempt_is_told_with_its_dialogue(database_url: str) -> None:
    """One recipient refused, one deferred by a cut and then sent: each sees its own RCPT alone."""
    email = composed(to=[{"address": "ann@b.test"}, {"address": "550@b.test"}])
    script: Script = {"RCPT": refuses_550, "DOT": [CUT, "250 2.0.0 Ok: queued as R7"]}
    async with ScriptedRelay(script) as relay, front_on(database_url) as front:
        await front.first.make_account(relay.port)
        answer = await front.first.submit(email)
        async with dispatching(front):
            async with front.first.stream() as stream:
                await stream.until(2)
            assert await front.first.run_now(
                selector=delivery_pb2.Selector(account_id="demo"), include_retries=True
            )
            await front.first.watch(message_id=answer.message_id)
        got = await front.first.get(answer.message_id, include_attempts=True)
        assert len((await front.first.get(answer.message_id)).attempts) == 0
    ann, bob = got.recipients
    assert (ann.state, ann.attempts, bob.state, bob.attempts) == (SENT, 2, FAILED, 1)
    assert ann.last_report.possible_duplicate
    assert ann.last_report.relay_message_id == "R7"
    assert (bob.last_report.reply.code, bob.last_report.reply.enhanced_code) == (550, "5.1.1")
    dialogues = {(one.recipient, one.attempt): one for one in got.attempts}
    assert sorted(dialogues) == [("550@b.test", 1), ("ann@b.test", 1), ("ann@b.test", 2)]
    cut = dialogues["ann@b.test", 1].exchanges
    assert (cut[-1].stage, cut[-1].HasField("reply")) == ("DOT", False)
    assert cut[-1].fault
    refused = dialogues["550@b.test", 1].exchanges
    assert [e.reply.code for e in refused if e.stage == "RCPT"] == [550]
    assert not any("ann@" in e.command for e in refused)
    assert [e.elapsed_ms for e in refused] == sorted(e.elapsed_ms for e in refused)
    ends = [one.end_time.ToNanoseconds() for one in got.attempts]
    assert ends == sorted(ends)


def refuses_550(seen: Seen) -> str | None:
    return "550 5.1.1 no such user" if "550@" in seen.line else None


async def test_credentials_are_in_no_dialogue(database_url: str) -> None:
    relay = ScriptedRelay(credentials=("user-of-relay", "s3cret-pass"))
    async with relay, front_on(database_url) as front:
        await front.first.make_account(relay.port, username="user-of-relay", password="s3cret-pass")
        answer = await front.first.submit()
        async with dispatching(front):
            await front.first.watch(message_id=answer.message_id)
        got = await front.first.get(answer.message_id, include_attempts=True)
    stages = [exchange.stage for exchange in got.attempts[0].exchanges]
    assert "AUTH" in stages
    words = str(got)
    assert "s3cret" not in words
    assert "c3Iz" not in words
    assert "czNjcmV0" not in words


async def test_the_newest_100_dialogues_are_told(front: Front) -> None:
    many = composed(to=[{"address": f"{number}@b.test"} for number in range(150)])
    answer = await front.first.submit(many)
    async with ScriptedRelay() as relay:
        await set_port(front, relay.port)
        async with dispatching(front):
            await front.first.watch(message_id=answer.message_id)
    got = await front.first.get(answer.message_id, include_attempts=True)
    assert len(got.attempts) == 100
    assert len(got.recipients) == 150
    last = {one.recipient for one in got.attempts}
    newest = sorted(got.recipients, key=lambda one: one.last_report.offset)[-100:]
    assert last == {one.recipient for one in newest}


async def set_port(front: Front, port: int) -> None:
    await front.link.execute("UPDATE mailproxy.accounts SET port = $1", port)
    await front.link.execute("SELECT pg_notify('mailproxy_accounts', '')")
