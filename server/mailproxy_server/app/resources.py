"""What a front and a dispatcher both work with: connections to the database, the vault."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from mailproxy_server.accounts.account import Account, Secrets, relay_fields
from mailproxy_server.accounts.accounts import Accounts
from mailproxy_server.accounts.vault import Vault, VaultError
from mailproxy_server.app.database import sessions_to
from mailproxy_server.app.datadir import DataDir, locate
from mailproxy_server.app.watching import teller
from mailproxy_server.content.sources.resolver import dial
from mailproxy_server.content.vetting import Egress
from mailproxy_server.queue.engine import open_engine
from mailproxy_server.queue.hot import ACQUIRE_TIMEOUT, Pool, open_pool
from mailproxy_server.queue.unavailable import CannotConnect
from mailproxy_server.settings import Settings, parse_key
from mailproxy_server.smtp.connect import Dial
from mailproxy_server.smtp.pool import Pool as SmtpPool
from mailproxy_server.smtp.relay import OauthGrant, Relay, Timeouts, Tls

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

HOT_CONNECTIONS = 8
"""Of each process, for the hot statements; one is held for milliseconds at a time."""
COLD_CONNECTIONS = 2
PATIENCE_SECONDS = 30.0
"""For a database that does not accept connections yet."""
_PAUSE_SECONDS = 0.1
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Resources:
    """Opened when a role starts, closed when it has drained."""

    engine: AsyncEngine
    pool: Pool
    vault: Vault
    tracer: "Tracer | None" = None


@asynccontextmanager
async def opened(
    settings: Settings, url: str, tracer: "Tracer | None" = None
) -> AsyncIterator[Resources]:
    """Open them for the length of the block; with `tracer`, spans are made by it."""
    vault = Vault(_key(settings))
    sessions = sessions_to(settings, url)
    timeout = settings.statement_timeout_seconds
    engine = open_engine(
        sessions, size=COLD_CONNECTIONS, command_timeout=timeout + 1, pool_timeout=ACQUIRE_TIMEOUT
    )
    pool = await _patiently(
        lambda: open_pool(
            sessions,
            size=HOT_CONNECTIONS,
            statement_timeout=timeout,
            told=teller(tracer if settings.trace_sql else None),
        )
    )
    try:
        yield Resources(engine, pool, vault, tracer)
    finally:
        await pool.close()
        await engine.dispose()


async def _patiently(open_one: Callable[[], Awaitable[Pool]]) -> Pool:
    """Open the pool, waiting for a database that is starting or recovering from a crash."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await open_one()
        except CannotConnect:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_PAUSE_SECONDS)


def _key(settings: Settings) -> bytes:
    if settings.secret_key is not None:
        return parse_key(settings.secret_key.get_secret_value())
    return DataDir.open(locate(settings.data_dir)).secret_key()


def dial_of(settings: Settings) -> Dial | None:
    """Give what connects to relays where their addresses are judged; None where they are not."""
    if not settings.egress_vet_relays:
        return None
    egress = Egress.of(settings.egress_allow)
    return lambda host, port: dial(host, port, egress)


def pool_of(
    accounts: Accounts,
    account: Account,
    secrets: Secrets,
    timeouts: Timeouts | None = None,
    dialling: Dial | None = None,
) -> SmtpPool:
    """Give the connections to an account's relay. A refresh token that takes the place of another
    is kept in the database; where that fails, this pool goes on by it."""

    async def keep(old: str, new: str) -> None:
        try:
            await accounts.keep_refresh_token(account.tenant_id, account.account_id, old, new)
        except (SQLAlchemyError, OSError, TimeoutError, VaultError) as error:
            what = type(error).__name__
            log.warning("a refresh token was not kept", account=account.account_id, why=what)

    return SmtpPool(relay_of(account, secrets), timeouts=timeouts, renewed=keep, dial=dialling)


def relay_of(account: Account, secrets: Secrets) -> Relay:
    """Give the relay of an account, as the pool takes it."""
    fields = relay_fields(account, secrets)
    oauth = OauthGrant(**fields["oauth"]) if fields["oauth"] else None
    return Relay(**fields | {"tls": Tls(account.tls), "oauth": oauth})
