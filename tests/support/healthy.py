"""What a server says of its health, by gRPC and by HTTP."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import grpc
import grpc.aio
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from tests.support.watched import Watched, number

_Status = health_pb2.HealthCheckResponse.ServingStatus


@dataclass(frozen=True)
class Said:
    """`grpc`: of the whole server and of a service; `ready` and `alive`: statuses of HTTP; `why`:
    the body of /readyz; `up`: gmp_database_up."""

    grpc: tuple[str, str]
    ready: int
    why: str
    alive: int
    up: float | None

    @property
    def serving(self) -> bool:
        """Whether all of it says that the server serves."""
        return self.grpc == ("SERVING", "SERVING") and self.ready == 200 and self.up == 1

    @property
    def not_serving(self) -> bool:
        """Whether all of it says that the server does not."""
        return self.grpc == ("NOT_SERVING",) * 2 and self.ready == 503 and self.up == 0


async def status_of(channel: grpc.aio.Channel, service: str = "") -> str:
    """Give what gRPC's health says of a service."""
    wanted = health_pb2.HealthCheckRequest(service=service)
    stub: Any = HealthStub(channel)
    return _Status.Name((await stub.Check(wanted, timeout=10)).status)


async def said_by(watched: Watched) -> Said:
    """Ask for all of it."""
    channel = watched.front.first.channel
    whole, messages = [
        await status_of(channel, each) for each in ("", "mailproxy.v1.MessageService")
    ]
    async with watched.http.get(watched.url + "/readyz") as answer:
        ready, why = answer.status, await answer.text()
    alive = await watched.status("/healthz")
    try:
        up = number(await asyncio.wait_for(watched.scrape(), 20), "gmp_database_up")
    except (TimeoutError, aiohttp.ClientError):
        up = None
    return Said((whole, messages), ready, why, alive, up)


async def until_said(watched: Watched, wanted: Callable[[Said], bool], seconds: float = 30) -> Said:
    """Ask until it is as wanted; fails with what was said last."""
    said = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                said = await said_by(watched)
                if wanted(said):
                    return said
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"not within {seconds} s; said last: {said}") from None
