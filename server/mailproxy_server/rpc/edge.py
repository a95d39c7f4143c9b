"""What every call passes before and after its servicer: the chain's parts, each once.

Built once for a server; `registry` binds it to each RPC. Not grpc's interceptors: those cost
more for each call than all that is done here.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn
from uuid import UUID

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from mailproxy_server.mail.errors import CallerError
from mailproxy_server.rpc.bodies import Bodies
from mailproxy_server.rpc.budget import Budget
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.faults import Faults
from mailproxy_server.rpc.status import code_of, to_status, trailers
from mailproxy_server.rpc.streams import draining
from mailproxy_server.rpc.tracing import Tracer
from mailproxy_server.rpc.unknown import refuse_unknown

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(slots=True)
class Edge:
    """The parts of the chain.

    `authenticate` gives the tenant of a token or raises CallerError; `max_request_bytes` is
    the limit that is answered with its name (the transport's is above it); `max_streams`
    bounds the open streams of each service; `inflight_bytes` those of requests that are held at
    once, a quarter of them those of uploads; a request must come within `body_seconds`.
    """

    authenticate: Callable[[str], Awaitable[UUID]]
    faults: Faults
    inflight_bytes: int
    max_request_bytes: int = 32 * 1024 * 1024
    max_streams: int = 10_000
    body_seconds: float = 60.0
    tracer: Tracer | None = None
    draining: bool = field(default=False, init=False)
    budget: Budget = field(init=False)
    parts: Budget = field(init=False)
    bodies: Bodies = field(init=False)
    foreign: Bodies = field(init=False)

    def __post_init__(self) -> None:
        """Share the bytes out: each kind of call has its own, so that none stops another."""
        largest, seconds = self.max_request_bytes, self.body_seconds
        self.parts = Budget(self.inflight_bytes // 4)
        self.budget = Budget(self.inflight_bytes - self.parts.limit)
        self.bodies = Bodies(self.budget, largest, seconds, self.refuse)
        self.foreign = Bodies(Budget(2 * largest), largest, seconds, self.refuse)

    async def admit(self, context: Context) -> Call:
        """Let a call in: who calls, and is there time. Raises CallerError."""
        token = traceparent = ""
        for key, value in context.invocation_metadata() or ():
            if key == "authorization":
                token = bearer(value)
            elif key == "traceparent":
                traceparent = str(value)
        if not token:
            raise missing_token()
        tenant_id = await self.authenticate(token)
        if self.draining:
            raise draining()
        call = Call(tenant_id, traceparent, 0, context.time_remaining)
        check_deadline(call)
        return call

    async def refuse(self, context: Context, error: BaseException) -> NoReturn:
        """End the call with the status of `error`. Never returns."""
        known = self.faults.translate(error)
        _forget_frames(error)
        status = to_status(known)
        await context.abort(code_of(known), status.message, trailers(known, status))
        raise AssertionError("abort raises")


def _forget_frames(error: BaseException) -> None:
    """Let the frames go that an error came through, which hold the request.

    grpc keeps what it aborts with, and with it the error, until the garbage collector runs.
    """
    one: BaseException | None = error
    while one is not None:
        one.__traceback__ = None
        one = one.__context__


def bearer(value: str | bytes) -> str:
    """Give the token of an authorization value, or "" when it holds no bearer token."""
    text = value if isinstance(value, str) else ""
    scheme, _, token = text.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def missing_token() -> CallerError:
    """Give the error of a call without a token."""
    return CallerError(
        "TOKEN_MISSING",
        "send the metadata 'authorization: Bearer <token>'; the server wrote the first token to "
        "the file `token` in its data directory",
    )


def check_deadline(call: Call) -> None:
    """Raise CallerError when the caller's deadline has passed before its turn came."""
    remaining = call.time_remaining()
    if remaining is not None and remaining <= 0:
        raise CallerError("DEADLINE", "the deadline passed before the server could begin")


def check_size(size: int, limit: int) -> None:
    """Raise CallerError when a request is larger than `limit` bytes."""
    if size > limit:
        raise CallerError(
            "REQUEST_TOO_LARGE",
            f"the request has {size} bytes, more than the {limit} that this server accepts",
            {"size_bytes": str(size), "limit_bytes": str(limit)},
        )


def parse(kind: type[Message], raw: bytes, strict: bool) -> Message:
    """Give the request in `raw`; raises CallerError for malformed bytes and unknown fields."""
    try:
        request = kind.FromString(raw)
    except DecodeError:
        raise CallerError(
            "REQUEST_MALFORMED",
            f"the bytes are not a valid {kind.DESCRIPTOR.full_name}: truncated, of another "
            "message, or with a string that is not UTF-8",
        ) from None
    if strict:
        refuse_unknown(request, len(raw))
    return request
