"""The gRPC server of a process: its address, its bounds, how it starts and how it drains."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
import grpc.aio

from mailproxy_server.rpc.health import Health
from mailproxy_server.rpc.reflect import add_reflection
from mailproxy_server.rpc.registry import Registry

PING_INTERVAL = 10.0
"""Seconds between a client's pings on an idle stream that are no offence. Clients ping every
30 s; by grpc's default of 5 minutes they would be cut off for it."""

NOTICE = 0.05
"""Seconds for which health watchers hear NOT_SERVING before their streams are ended."""


_LAST_SECONDS = 1.0
"""For answers that are on their way when the drain ends."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files of the server's certificate chain and its key."""

    certificate: Path
    key: Path


class GrpcServer:
    """Serves what `registry` holds. Build it inside the running event loop.

    Several servers may bind one port (SO_REUSEPORT); whether a port is free, the supervisor
    finds out before.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        reflection: bool = True,
        ping_interval: float = PING_INTERVAL,
        connection_streams: int = 1000,
    ):
        self.health = Health()
        self._registry = registry
        self.health.add_to(registry)
        if reflection:
            add_reflection(registry)
        self._server = grpc.aio.server(
            handlers=(registry,),
            options=(
                *_options(registry.edge.max_request_bytes, round(ping_interval * 1000)),
                ("grpc.max_concurrent_streams", connection_streams),
            ),
        )
        self._drained = False

    def bind(self, address: str, tls: TlsFiles | None = None) -> int:
        """Bind `address` ("127.0.0.1:50051"; port 0: any free one) and give the port.

        Raises OSError when it cannot be bound, or when the TLS files cannot be read.
        """
        try:
            if tls is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _credentials(tls))
        except RuntimeError as error:
            raise OSError(f"cannot bind {address}") from error
        if port == 0:
            raise OSError(f"cannot bind {address}")
        return port

    async def start(self) -> None:
        """Take calls from now on."""
        await self._server.start()
        self.health.set_serving(True)

    async def drain(self, grace: float) -> None:
        """Stop: say NOT_SERVING, end the streams, give unary calls `grace` seconds to finish."""
        if self._drained:
            return
        self._drained = True
        self.health.end()
        await asyncio.sleep(NOTICE)
        self._registry.drain()
        await self._registry.finish(grace)
        await self._server.stop(_LAST_SECONDS)


LOOKAHEAD = 256 * 1024
"""Bytes of a stream that the core reads before they are asked for."""


def _options(max_request_bytes: int, ping_interval_ms: int) -> Sequence[tuple[str, int]]:
    return (
        ("grpc.so_reuseport", 1),
        # Left to guess, the core reads megabytes ahead on each stream: many uploads at once would
        # all be in memory. So much is 5 MB/s over 50 ms, of each stream.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", LOOKAHEAD),
        # What is past the transport's bound is refused without details: ours comes first.
        ("grpc.max_receive_message_length", max_request_bytes * 5 // 4),
        ("grpc.max_send_message_length", -1),
        ("grpc.http2.min_ping_interval_without_data_ms", ping_interval_ms),
        ("grpc.keepalive_permit_without_calls", 1),
        # A client that vanished without a FIN holds no stream for longer than this.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
    )


def _credentials(tls: TlsFiles) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials([(tls.key.read_bytes(), tls.certificate.read_bytes())])
