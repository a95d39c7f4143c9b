"""Resolves host names, and lets no address through that may not be connected to.

aiohttp connects to what the resolver gives, and `dial` to what it judged, so the address that was
judged is the one that is used.
"""

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from aiohttp.abc import AbstractResolver, ResolveResult

from mailproxy_server.content.vetting import Egress, Refused, vet_address

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, for a port; raises OSError."""


LOOKUPS_AT_ONCE = 32


class NotAllowed(OSError):
    """Refused by the egress policy; as an OSError it passes through aiohttp."""


_ASKING = ThreadPoolExecutor(LOOKUPS_AT_ONCE, thread_name_prefix="lookup")


async def system_lookup(host: str, port: int) -> list[str]:
    """Ask the system, in threads of their own: names that never resolve hold up nothing else."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_ASKING, ask)
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


async def dial(
    host: str, port: int, egress: Egress, lookup: Lookup = system_lookup
) -> socket.socket | str:
    """Connect to the first address of a host that answers, all of them being allowed; else give
    why they are not. Raises OSError."""
    addresses = list(dict.fromkeys(await lookup(host, port)))
    try:
        for address in addresses:
            vet_address(host, address, egress)
    except Refused as refused:
        return str(refused)
    failed: OSError = OSError(errno.EHOSTUNREACH, "no address")
    for address in addresses:
        found = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        found.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(found, (address, port))
        except OSError as error:
            found.close()
            failed = error
        except BaseException:
            found.close()
            raise
        else:
            return found
    raise failed


def _result(host: str, port: int, address: str) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
