"""Resolves host names for fetching, and lets no address through that may not be connected to.

aiohttp connects to what this gives, so the address that was judged is the one that is used.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult

from mailproxy_server.content.vetting import Egress, Refused, vet_address

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, for a port; raises OSError."""


class NotAllowed(OSError):
    """Refused by the egress policy; as an OSError it passes through aiohttp."""


async def system_lookup(host: str, port: int) -> list[str]:
    """Ask the system."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class VettingResolver(AbstractResolver):
    """The system's answers, if all of them are allowed.

    One that is not allowed among others condemns the name: it was put there for a purpose.
    """

    def __init__(self, egress: Egress, lookup: Lookup = system_lookup) -> None:
        self._egress = egress
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name; raises `NotAllowed`."""
        addresses = await self._lookup(host, port)
        try:
            for address in addresses:
                vet_address(host, address, self._egress)
        except Refused as refused:
            raise NotAllowed(str(refused)) from None
        return [_result(host, port, address) for address in dict.fromkeys(addresses)]

    async def close(self) -> None:
        """Hold nothing."""


def _result(host: str, port: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
