"""Opens a session: TCP, TLS, EHLO, STARTTLS and AUTH, by aiosmtplib, and notes what was said.

STARTTLS alone is done here, since the library throws away what came in clear text after the
220 where RFC 3207 section 4.2 wants the connection ended. Without the TLS that was asked for
no AUTH is said. Notes never hold credentials.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import cast

import aiosmtplib

from mailproxy_server.mail.transcript import Exchange, Fault, FaultKind, Reply, Stage
from mailproxy_server.smtp.auth import authenticate
from mailproxy_server.smtp.faults import EXPECTED, answer_of, tls_fault
from mailproxy_server.smtp.oauth import TokenSource
from mailproxy_server.smtp.offer import read_offer
from mailproxy_server.smtp.relay import Relay, Timeouts, Tls
from mailproxy_server.smtp.replies import make_reply
from mailproxy_server.smtp.session import Session
from mailproxy_server.smtp.wire import Wire

Dial = Callable[[str, int], Awaitable[socket.socket | str]]
"""Connects to a host and port; gives a connected socket, or why it must not be. Raises OSError."""


class Opening:
    """One attempt to open a session; `exchanges` says how it went. `tokens` are for XOAUTH2;
    `dial` connects in place of the library, where it is given."""

    def __init__(
        self,
        relay: Relay,
        timeouts: Timeouts,
        started: float,
        tokens: TokenSource | None = None,
        dial: Dial | None = None,
    ):
        self._dial = dial
        self.exchanges: list[Exchange] = []
        self._relay = relay
        self._tokens = tokens
        self._timeouts = timeouts
        self._started = started
        self._loop = asyncio.get_running_loop()
        self._client = aiosmtplib.SMTP(
            hostname=relay.host,
            port=relay.port,
            local_hostname=relay.ehlo_name,
            use_tls=relay.tls is Tls.IMPLICIT,
            start_tls=False,
            timeout=timeouts.session,
        )

    async def run(self, context: ssl.SSLContext | Fault | None) -> Session | None:
        """Give the session, or None: the last exchange says why."""
        client = self._client
        try:
            if isinstance(context, Fault):
                self._note(Stage.CONNECT, self._relay.name, context)
            elif await self._steps(context):
                transport = cast(asyncio.Transport, client.transport)
                offer = read_offer(client.esmtp_extensions)
                return Session(Wire(transport), offer, self._timeouts, _tls_version(transport))
        except BaseException:
            client.close()
            raise
        client.close()
        return None

    def elapsed_ms(self) -> int:
        """Milliseconds since it began."""
        return int((self._loop.time() - self._started) * 1000)

    async def _steps(self, context: ssl.SSLContext | None) -> bool:
        self._client.tls_context = context
        if not await self._connect():
            return False
        if not await self._ehlo():
            return False
        if self._relay.tls is Tls.STARTTLS and not await self._starttls(context):
            return False
        if not self._relay.username:
            return True
        accepted = False
        async for command, answer in authenticate(self._client, self._relay, self._tokens):
            accepted = self._note(Stage.AUTH, command, answer)
        return accepted

    async def _connect(self) -> bool:
        client, relay, limit = self._client, self._relay, self._timeouts.connect
        if self._dial is None:
            return await self._step(Stage.CONNECT, relay.name, client.connect(timeout=limit))
        try:
            async with asyncio.timeout(limit):
                found = await self._dial(relay.host, relay.port)
        except EXPECTED as error:
            return self._note(Stage.CONNECT, relay.name, answer_of(error))
        if isinstance(found, str):
            return self._note(Stage.CONNECT, relay.name, Fault(FaultKind.UNREACHABLE, found))
        # The host stays for TLS: whose certificate it must be.
        joining = client.connect(sock=found, port=None, timeout=limit)
        return await self._step(Stage.CONNECT, relay.name, joining)

    async def _ehlo(self) -> bool:
        return await self._step(Stage.EHLO, f"EHLO {self._relay.ehlo_name}", self._client.ehlo())

    async def _starttls(self, context: ssl.SSLContext | None) -> bool:
        client = self._client
        if context is None or "starttls" not in client.esmtp_extensions:
            fault = Fault(FaultKind.TLS, "the relay does not offer STARTTLS")
            return self._note(Stage.STARTTLS, "STARTTLS", fault)
        library, clear = client.protocol, cast(asyncio.Transport, client.transport)
        if library is None or clear is None or clear.is_closing():
            return self._note(Stage.STARTTLS, "STARTTLS", Fault(FaultKind.CLOSED))
        answer = await self._ask_starttls(Wire(clear))
        self._note(Stage.STARTTLS, "STARTTLS", answer)
        if isinstance(answer, Fault) or answer.code != 220:
            clear.abort()
            return False
        try:
            client.transport = library.transport = await self._loop.start_tls(
                clear,
                library,
                context,
                server_hostname=self._relay.host,
                ssl_handshake_timeout=self._timeouts.session,
            )
        except OSError as error:
            clear.abort()
            return self._note(Stage.STARTTLS, "", tls_fault(error))
        return await self._ehlo()

    async def _ask_starttls(self, wire: Wire) -> Reply | Fault:
        wire.write(b"STARTTLS\r\n")
        answer = (await wire.answer(self._timeouts.session)).what
        if isinstance(answer, Reply) and answer.code == 220 and not wire.quiet:
            return Fault(FaultKind.PROTOCOL, "clear text followed the 220 of STARTTLS")
        return answer

    async def _step(
        self, stage: Stage, command: str, doing: Awaitable[aiosmtplib.SMTPResponse]
    ) -> bool:
        try:
            response = await doing
        except EXPECTED as error:
            return self._note(stage, command, answer_of(error))
        return self._note(stage, command, make_reply(response.code, response.message))

    def _note(self, stage: Stage, command: str, answer: Reply | Fault) -> bool:
        self.exchanges.append(Exchange(stage, command, answer, self.elapsed_ms()))
        return isinstance(answer, Reply) and answer.positive


def _tls_version(transport: asyncio.Transport) -> str:
    tls = transport.get_extra_info("ssl_object")
    return (tls.version() or "") if tls is not None else ""
