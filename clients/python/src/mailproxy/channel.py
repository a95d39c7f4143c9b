"""How a channel to the server is set up: options, credentials, the token. Opens nothing."""

from typing import TypeAlias

import grpc

Tls: TypeAlias = bool | grpc.ChannelCredentials | None
"""None or False: no TLS. True: TLS with the system's authorities. Or credentials of your own."""

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 15_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
    ("grpc.max_send_message_length", -1),
    # A restarted server is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # Else a child made by fork would write into its parent's connection.
    ("grpc.use_local_subchannel_pool", 1),
)


def credentials(tls: Tls) -> grpc.ChannelCredentials | None:
    """Give the channel credentials, or None for a channel without TLS."""
    if tls is True:
        return grpc.ssl_channel_credentials()
    return tls or None


def call_metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    """Give the metadata that carries the bearer token with every call."""
    if not token:
        return ()
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise ValueError("the token holds characters that no token has; is it the right file?")
    return (("authorization", f"Bearer {token}"),)
