"""Access tokens for one relay: kept while they are good, renewed before they expire.

However many connections ask, one request at a time goes to the token endpoint. A failure is an
answer too, for some seconds: a lane full of messages does not become a flood of requests.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from mailproxy_server.mail.transcript import Fault
from mailproxy_server.smtp.relay import OauthGrant

EARLY = 300.0
"""Seconds before its expiry that a token is renewed; half its life where that is shorter."""
FAILED_FOR = 5.0
"""Seconds that a failure is the answer."""

Renewed = Callable[[str, str], Awaitable[None]]
"""Is told the refresh token that was used and the one that the endpoint gave in its place."""


async def forget(old: str, new: str) -> None:
    """Keep a new refresh token nowhere but in memory."""


@dataclass(frozen=True, slots=True)
class Token:
    """An access token. `fresh`: got for who asks, not for somebody before."""

    text: str = field(repr=False)
    renew_at: float
    expires_at: float
    fresh: bool = True


class TokenSource:
    """Gives the tokens of one grant. `clock` is a monotonic one."""

    def __init__(
        self,
        grant: OauthGrant,
        renewed: Renewed = forget,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._grant = grant
        self._renewed = renewed
        self._clock = clock
        self._token: Token | None = None
        self._failure: tuple[Fault, float] | None = None
        self._asking: asyncio.Task[Token | Fault] | None = None

    async def token(self) -> Token | Fault:
        """Give a token that is good for a while, or why there is none."""
        held, now = self._token, self._clock()
        if held is not None and now < held.renew_at:
            return replace(held, fresh=False)
        got = await self._ask()
        if isinstance(got, Fault) and held is not None and self._clock() < held.expires_at:
            return replace(held, fresh=False)
        return got

    def drop(self, token: Token) -> None:
        """Give this one to nobody any more: the relay did not take it."""
        if self._token is not None and self._token.text == token.text:
            self._token = None

    async def _ask(self) -> Token | Fault:
        if self._failure is not None and self._clock() < self._failure[1]:
            return self._failure[0]
        if self._asking is None:
            self._asking = asyncio.create_task(self._renew(), name="token")
            self._asking.add_done_callback(self._asked)
        return await asyncio.shield(self._asking)

    def _asked(self, task: asyncio.Task[Token | Fault]) -> None:
        self._asking = None
        if not task.cancelled():
            task.exception()  # those who wait raise it; seen here too, should all have left

    async def _renew(self) -> Token | Fault:
        from mailproxy_server.smtp.endpoint import ask  # aiohttp: 12 MB that few processes need

        asked_at = self._clock()
        issued = await ask(self._grant)
        if isinstance(issued, Fault):
            self._failure = issued, self._clock() + FAILED_FOR
            return issued
        self._failure = None
        early = min(EARLY, issued.life / 2)
        expires_at = asked_at + issued.life
        self._token = Token(issued.access_token, expires_at - early, expires_at)
        used, given = self._grant.refresh_token, issued.refresh_token
        if used and given and given != used:
            self._grant = replace(self._grant, refresh_token=given)
            await self._renewed(used, given)
        return self._token
