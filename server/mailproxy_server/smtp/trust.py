"""Whom a relay must prove to be: the TLS context of one relay, made once."""

import asyncio
import ssl

from mailproxy_server.mail.transcript import Fault, FaultKind
from mailproxy_server.smtp.faults import describe
from mailproxy_server.smtp.relay import Relay, Tls


class Trust:
    """Makes the context when it is first needed, in a thread: reading authorities takes a while."""

    def __init__(self, relay: Relay):
        self._relay = relay
        self._made: ssl.SSLContext | Fault | None = None
        self._making = asyncio.Lock()

    async def context(self) -> ssl.SSLContext | Fault | None:
        """Give the context, None without TLS, or the fault of certificates that cannot be read."""
        if self._relay.tls is Tls.NONE:
            return None
        async with self._making:
            if self._made is None:
                self._made = await asyncio.to_thread(_context, self._relay)
        return self._made


def _context(relay: Relay) -> ssl.SSLContext | Fault:
    try:
        context = ssl.create_default_context(cadata=relay.tls_ca_certificates or None)
    except (ssl.SSLError, ValueError) as error:
        detail = f"the account's CA certificates cannot be read: {describe(error)}"
        return Fault(FaultKind.TLS, detail)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if relay.tls_insecure_skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
