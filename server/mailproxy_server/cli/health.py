"""`mailproxy health`: does a server take calls? For health checks of containers."""

import sys
from typing import Annotated, Any

import grpc
import typer
from grpc_health.v1 import health_pb2, health_pb2_grpc
from mailproxy import environment
from mailproxy.channel import OPTIONS

from mailproxy_server.cli import options
from mailproxy_server.cli.connection import UNREACHABLE

Timeout = Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the answer.")]


def commands(app: typer.Typer) -> None:
    """Add the command of this file to the CLI."""
    app.command(epilog=options.EXIT_CODES)(health)


def health(target: options.Target = None, timeout: Timeout = 4.0) -> None:
    """Ask a server whether it takes calls, by gRPC's health protocol; needs no token."""
    where = target or environment.target()
    try:
        with _channel(where) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=timeout)
    except grpc.RpcError as error:
        print(f"mailproxy: {where} does not answer ({error.code().name})", file=sys.stderr)
        raise typer.Exit(UNREACHABLE) from None
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        print(f"mailproxy: {where} takes no calls", file=sys.stderr)
        raise typer.Exit(UNREACHABLE)
    print("serving")


def _channel(where: str) -> grpc.Channel:
    if environment.tls():
        return grpc.secure_channel(where, grpc.ssl_channel_credentials(), options=OPTIONS)
    return grpc.insecure_channel(where, options=OPTIONS)
