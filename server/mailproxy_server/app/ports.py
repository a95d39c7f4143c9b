"""Owns the ports of a run: refuses taken ones, and keeps them for the children.

gRPC shares ports (SO_REUSEPORT), so a second server on a taken port would bind in silence:
the probe therefore binds without sharing. What is held is bound and never listens; children
bind beside it, nobody else can, and port 0 becomes a real one.
"""

import errno
import ipaddress
import socket

from mailproxy_server.app.refusal import Refusal
from mailproxy_server.settings.listen import Listen


def hold(listen: Listen, variable: str) -> tuple[socket.socket, Listen]:
    """Take the port for this run; gives what holds it, and the address with the real port.

    `variable` is the setting to name in the Refusal.
    """
    family, address = _resolve(listen, variable)
    try:
        with _socket(family, socket.SO_REUSEADDR) as probe:
            probe.bind(address)
            port = probe.getsockname()[1]
        held = _socket(family, socket.SO_REUSEPORT)
        held.bind((address[0], port, *address[2:]))
    except OSError as error:
        raise Refusal(_words(listen, error, variable)) from error
    return held, Listen(listen.host, port)


def is_loopback(listen: Listen) -> bool:
    """Tell whether only this machine reaches the address."""
    if listen.host == "localhost":
        return True
    try:
        return ipaddress.ip_address(listen.host).is_loopback
    except ValueError:
        return False


def _socket(family: int, option: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, option, 1)
    return made


def _resolve(listen: Listen, variable: str) -> tuple[int, tuple[str, int]]:
    try:
        found = socket.getaddrinfo(
            listen.host, listen.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise Refusal(
            f"{listen.host} is not an address of this machine: set {variable}, "
            "for instance to 127.0.0.1:0"
        ) from error
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]  # of the two families, both begin so


def _words(listen: Listen, error: OSError, variable: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            what = f"port {listen.port} is taken: stop what listens on {listen}"
        case errno.EACCES:
            what = f"port {listen.port} needs root (or CAP_NET_BIND_SERVICE): use one from 1024 on"
        case errno.EADDRNOTAVAIL:
            what = f"{listen.host} is not an address of this machine: choose one that is"
        case _:
            what = f"{listen}: {error.strerror}"
    return f"{what}, or set {variable}"
