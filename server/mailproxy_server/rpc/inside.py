"""Calls from within: what a page does goes through the same servicers as any call, in JSON.

The JSON mapping of protobuf (https://protobuf.dev/programming-guides/json). Who calls is known
already; the edge's bounds and its translation of errors hold here too.
"""

import json
from typing import Any
from uuid import UUID

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from mailproxy_server.mail.errors import CallerError, MailProxyError
from mailproxy_server.rpc.call import Call
from mailproxy_server.rpc.registry import Registry
from mailproxy_server.rpc.status import code_of

_HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.UNIMPLEMENTED: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.FAILED_PRECONDITION: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}


class Inside:
    """Answers unary calls of one tenant or another, by "MessageService/GetMessage"."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    async def call(self, tenant_id: UUID, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Give an HTTP status and the response, or what is wrong: reason, message, metadata."""
        edge = self._registry.edge
        try:
            found = self._registry.unary(path)
            if found is None:
                raise CallerError("UNKNOWN_ACTION", f"there is no call {path[:100]}")
            kind, servicer = found
            with await edge.budget.hold(tenant_id, len(body)):
                call = Call(tenant_id, "", len(body), lambda: None)
                response = await servicer(_parsed(kind, body), call)
            return 200, _in_json(response)
        except Exception as error:
            known = edge.faults.translate(error)
            return _HTTP.get(code_of(known), 500), _problem(known)


def _parsed(kind: type[Message], body: bytes) -> Message:
    try:
        given = json.loads(body or b"{}")
        if not isinstance(given, dict):
            raise CallerError("REQUEST_MALFORMED", "the body is not a JSON object")
        return json_format.ParseDict(given, kind())
    except (ValueError, RecursionError, json_format.ParseError) as error:
        words = str(error).splitlines()[0][:300] if str(error) else "it is too deep"
        raise CallerError("REQUEST_MALFORMED", f"the body cannot be read: {words}") from None


def _in_json(response: Message) -> dict[str, Any]:
    found: dict[str, Any] = json_format.MessageToDict(
        response, always_print_fields_with_no_presence=True
    )
    return found


def _problem(error: MailProxyError) -> dict[str, Any]:
    return {"reason": error.reason, "message": error.message, "metadata": dict(error.metadata)}
