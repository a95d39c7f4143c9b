"""A microservice that traces: submits one message within a span of its own, by OTLP.

python -P traced_caller.py TARGET TOKEN sync|async RECIPIENT [ACCOUNT]
"""

import asyncio
import sys
from typing import Any

from mailproxy import AsyncMailProxyClient, MailProxyClient, MailProxyError
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor


def submit(target: str, token: str, style: str, message: dict[str, Any]) -> str:
    if style == "sync":
        with MailProxyClient(target, token) as client:
            return client.submit(**message).message_id

    async def concurrent() -> str:
        async with AsyncMailProxyClient(target, token) as one:
            return (await one.submit(**message)).message_id

    return asyncio.run(concurrent())


def main(target: str, token: str, style: str, recipient: str, account: str = "") -> None:
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    message: dict[str, Any] = {"from_address": "a@a.test", "to": recipient, "text": "Hi.\n"}
    if account:
        message["account"] = account
    with trace.get_tracer("shop").start_as_current_span("checkout"):
        try:
            said = submit(target, token, style, message)
        except MailProxyError as error:
            said = error.reason
    sys.stdout.write(said + "\n")
    provider.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
