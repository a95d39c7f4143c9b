"""`mailproxy serve` whose fronts let grpc read the body of a request before they look at the call.

A program: the control arm of room that is taken before a request is read.
"""

import sys
from pathlib import Path
from typing import Any

import grpc
from mailproxy_server.app import front, roles
from mailproxy_server.cli.root import app
from mailproxy_server.rpc.registry import Registry, RpcHandler

PROGRAM = (sys.executable, "-P", str(Path(__file__)))


class Read:
    """The context of a call whose request is here already."""

    def __init__(self, context: Any, raw: bytes) -> None:
        self._context, self._raw = context, raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> bytes:
        raw, self._raw = self._raw, b""
        return raw


class ReadFirst(Registry):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> RpcHandler | None:
        found: Any = super().service(handler_call_details)
        if found is None or not found.stream_unary or "Upload" in handler_call_details.method:
            return found  # type: ignore[no-any-return]

        async def answer(raw: bytes, context: Any) -> Any:
            return await found.stream_unary(None, Read(context, raw))

        return grpc.unary_unary_rpc_method_handler(
            answer, response_serializer=found.response_serializer
        )


def main() -> None:
    setattr(front, "Registry", ReadFirst)  # noqa: B010
    if len(sys.argv) == 5 and sys.argv[1] in roles.MODULES:
        sys.exit(roles.run_role(sys.argv[1], *map(int, sys.argv[2:])))
    app(obj=PROGRAM)


if __name__ == "__main__":
    main()
