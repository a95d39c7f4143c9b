"""One trace from the caller's span to the relay's 250, over real processes and OTLP."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from mailproxy import AsyncMailProxyClient

from tests.support.collector import Collector, Span, collecting
from tests.support.relay import SILENCE, ScriptedRelay
from tests.support.replicas import TOKEN, client_of, environment_of
from tests.support.serving import REAL, ROOT, Run, ended_after

SUBMIT = "mailproxy.v1.MessageService/SubmitMessage"


@dataclass
class Place:
    run: Run
    client: AsyncMailProxyClient
    collector: Collector
    environment: dict[str, str]

    async def call(self, style: str, recipient: str = "b@b.test", account: str = "") -> str:
        """Run the traced caller; give the message's id, or the reason of its refusal."""
        program = str(ROOT / "tests/support/traced_caller.py")
        arguments = [self.run.grpc, TOKEN, style, recipient, *filter(None, [account])]
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-P", program, *arguments],
            env=self.environment, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return str(done.stdout).strip()

    async def hurry(self, message_id: str) -> None:
        """Have it tried again as soon as it waits: the attempt's span comes before its report."""
        async for _ in self.client.watch(message_id):
            await self.client.run_now(account="shop", include_retries=True)
            return

    def trace(self) -> list[Span]:
        """Give the spans of the trace of the checkout."""
        roots = [span for span in self.collector.spans if span.name == "checkout"]
        return self.collector.of(roots[-1].trace_id) if roots else []

    def kinds(self) -> list[str]:
        return [span.kind for span in self.trace()]


@asynccontextmanager
async def place(
    folder: Path, url: str, relay: ScriptedRelay, **settings: str
) -> AsyncIterator[Place]:
    async with collecting() as collector:
        environment = environment_of(url) | collector.environment | settings
        with ended_after(folder / "data"):
            run = Run(folder / "data", environment=environment, program=REAL)
            await asyncio.to_thread(run.ready)
            async with client_of(run) as client:
                await client.update_account(
                    "shop", allow_missing=True, host="127.0.0.1", port=relay.port, tls="none"
                )
                yield Place(run, client, collector, dict(collector.environment))
            assert await asyncio.to_thread(run.stop) == 0


def child(span: Span, parent: Span) -> bool:
    return span.trace_id == parent.trace_id and span.parent_id == parent.span_id


def check_dialogues(first: Span, again: Span, smtp: list[Span]) -> None:
    assert child(smtp[0], first)
    assert smtp[0].error
    assert child(smtp[1], again)
    assert not smtp[1].error
    assert smtp[1].attributes["smtp.reply.code"] == 250
    assert [name for name, _ in smtp[0].events][:4] == ["CONNECT", "EHLO", "MAIL", "RCPT"]
    assert dict(smtp[0].events)["RCPT"]["smtp.reply.code"] == 451


@pytest.mark.parametrize("style", ["sync", "async"])
async def test_a_message_is_one_trace_also_across_a_retry(
    style: str, database_url: str, tmp_path: Path
) -> None:
    async with (
        ScriptedRelay({"RCPT": ["451 4.3.0 later", "250 ok"]}) as relay,
        place(tmp_path, database_url, relay) as here,
    ):
        message_id = await here.call(style)
        await here.collector.until(lambda: here.kinds().count("CONSUMER") == 1, "first attempt")
        await here.hurry(message_id)
        await relay.until(lambda: relay.messages, "the message was sent")
        await here.collector.until(
            lambda: here.kinds().count("CLIENT") == 3 and len(here.trace()) == 8, "all spans"
        )
        spans = here.trace()
        root, call, server, producer = spans[:4]
        assert [(span.name, span.kind) for span in spans[:4]] == [
            ("checkout", "INTERNAL"),
            (SUBMIT, "CLIENT"),
            (SUBMIT, "SERVER"),
            ("send shop", "PRODUCER"),
        ]
        assert child(call, root)
        assert child(server, call)
        assert child(producer, server)
        first, again = (span for span in spans if span.kind == "CONSUMER")
        for consumer, number in ((first, 1), (again, 2)):
            assert child(consumer, producer)
            assert consumer.links == ((producer.trace_id, producer.span_id),)
            assert consumer.attributes["mailproxy.attempt"] == number
            assert consumer.attributes["messaging.message.id"] == message_id
        assert first.error
        assert first.attributes["mailproxy.outcome"] == "deferred"
        assert not again.error
        check_dialogues(first, again, [span for span in spans if span.name == "smtp transaction"])
        assert {span.service for span in spans} == {"shop", "mailproxy"}
        got = await here.client.get_message(message_id)
        reported = [each.last_report.traceparent for each in got.recipients]
        reported += [report.traceparent async for report in here.client.watch(message_id)]
        assert {text.split("-")[1] for text in reported if text} == {root.trace_id}


async def test_an_attempt_that_a_crash_cut_off_is_in_the_trace_with_an_error(
    database_url: str, tmp_path: Path
) -> None:
    async with (
        ScriptedRelay({"DOT": [SILENCE, "250 ok"]}) as relay,
        place(tmp_path, database_url, relay, MAILPROXY_LEASE_SECONDS="2") as here,
    ):
        await here.call("sync")
        await relay.until(lambda: relay.messages, "the dot was sent")
        here.run.kill_one(" dispatcher ")
        await here.collector.until(lambda: here.kinds().count("CONSUMER") == 2, "both are told")
        cut, again = (span for span in here.trace() if span.kind == "CONSUMER")
        assert cut.error
        assert cut.attributes["error.type"] == "INTERRUPTED"
        assert not again.error
        assert cut.links == again.links


async def test_a_refused_submission_is_an_error_of_its_caller(
    database_url: str, tmp_path: Path
) -> None:
    async with ScriptedRelay({}) as relay, place(tmp_path, database_url, relay) as here:
        assert await here.call("async", account="nowhere") == "ACCOUNT_NOT_FOUND"
        await here.collector.until(lambda: len(here.trace()) == 3, "all spans")
        _, call, server = here.trace()
        assert call.error
        assert call.attributes["error.type"] == "ACCOUNT_NOT_FOUND"
        assert server.attributes["rpc.response.status_code"] == "NOT_FOUND"
        assert not server.error  # of the caller's making, by the conventions for servers


async def test_what_was_not_sampled_leaves_no_span_and_statements_have_theirs_on_demand(
    database_url: str, tmp_path: Path
) -> None:
    settings = {"OTEL_TRACES_SAMPLER": "parentbased_always_off", "MAILPROXY_TRACE_SQL": "true"}
    async with (
        ScriptedRelay({}) as relay,
        place(tmp_path, database_url, relay, **settings) as here,
    ):
        sent = await here.client.submit(from_address="a@a.test", to="b@b.test", text="Hi.\n")
        await relay.until(lambda: relay.messages, "the message was sent")
        traceparent = (await here.client.get_message(sent.message_id)).traceparent
        assert int(traceparent[-2:], 16) % 2 == 0, "the flag of what is sampled"
        await here.call("sync")
        await here.collector.until(lambda: "CONSUMER" in here.kinds(), "the caller's was sampled")
        services = {span.service for span in here.collector.spans}
        assert services == {"shop", "mailproxy"}
        assert {span.trace_id for span in here.collector.spans} == {here.trace()[0].trace_id}
