"""Addresses to listen on, as settings name them."""

from typing import Annotated, NamedTuple

from pydantic import BeforeValidator


class Listen(NamedTuple):
    """An address to listen on. Port 0 takes a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def parse_listen(value: object) -> object:
    """Read "host:port" or "[IPv6]:port"; raises ValueError."""
    if not isinstance(value, str):
        return value
    host, colon, port = value.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError("an IPv6 address stands in brackets, as [::1]:50051")
    if not (colon and host and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("must be host:port with a port of 0 to 65535, as 127.0.0.1:50051")
    return Listen(host, int(port))


def parse_listen_or_off(value: object) -> object:
    """Read an address, or "off"; raises ValueError."""
    return None if value == "off" else parse_listen(value)


Address = Annotated[Listen, BeforeValidator(parse_listen)]
AddressOrOff = Annotated[Listen | None, BeforeValidator(parse_listen_or_off)]
