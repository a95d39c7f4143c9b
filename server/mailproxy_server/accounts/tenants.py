"""Tenants and the tokens that speak for them. Tokens are kept as SHA-256 and nowhere else."""

import asyncio
import hashlib
import hmac
import secrets
import time
import uuid
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID

from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncEngine

from mailproxy_server.accounts.schema import tenants, tokens
from mailproxy_server.mail.errors import CallerError

T = TypeVar("T")

DEFAULT = "default"
"""Name of the tenant that `bootstrap` makes."""

KNOWN_TTL = 30.0
"""Seconds for which a token that was found is believed."""

UNKNOWN_TTL = 2.0
"""Seconds for which a token that was not found is refused without asking."""

REMEMBERED = 10_000
"""Tokens that are remembered at most, found and not found each."""

PATIENCE = 5.0
"""Seconds after which a database that does not answer counts as away."""

_ASKING_AT_ONCE = 2  # so that a flood of wrong tokens does not take every connection

_LONGEST = 256


def new_token() -> str:
    """Make a token: "mp_" and 43 characters that stand for 256 random bits."""
    return "mp_" + secrets.token_urlsafe(32)


class Tenants:
    """Tenants and tokens in the database of `engine`."""

    def __init__(self, engine: AsyncEngine, patience: float = PATIENCE):
        self._engine = engine
        self._patience = patience
        self._known: dict[bytes, tuple[UUID, float]] = {}
        self._unknown: dict[bytes, float] = {}
        self._gate = asyncio.Semaphore(_ASKING_AT_ONCE)

    async def bootstrap(self, token: str, keep: Callable[[], object] = lambda: None) -> bool:
        """Make the tenant `default` with this token, where no tenant is; tell whether it did.

        `keep` writes the token down: it is called just before the commit, by the one that
        makes the tenant, so that no token is lost and none is written that does not hold.
        Locks the tenants table against other writers: of replicas that start together one does.
        """
        async with self._engine.begin() as connection:
            await connection.execute(
                text("LOCK TABLE mailproxy.tenants IN SHARE ROW EXCLUSIVE MODE")
            )
            if (await connection.execute(select(tenants.c.tenant_id).limit(1))).first():
                return False
            tenant_id = uuid.uuid4()
            await connection.execute(insert(tenants).values(tenant_id=tenant_id, name=DEFAULT))
            await connection.execute(
                insert(tokens).values(
                    tenant_id=tenant_id, token_id=uuid.uuid4(), name="first", digest=_digest(token)
                )
            )
            keep()
        self._unknown.clear()
        return True

    async def authenticate(self, token: str) -> UUID:
        """Give the tenant of a token; raises CallerError TOKEN_INVALID.

        Raises TimeoutError when the database has not answered after `patience` seconds.
        """
        if len(token) > _LONGEST:
            raise _invalid()
        digest = _digest(token)
        tenant_id = self._recall(digest)
        if tenant_id is None:
            async with asyncio.timeout(self._patience), self._gate:
                tenant_id = self._recall(digest) or await self._ask(digest)
        return tenant_id

    def _recall(self, digest: bytes) -> UUID | None:
        """Give what is remembered of a token; raises CallerError when that is no."""
        now = time.monotonic()
        known = self._known.get(digest)
        if known is not None and known[1] > now:
            return known[0]
        if self._unknown.get(digest, 0.0) > now:
            raise _invalid()
        return None

    async def _ask(self, digest: bytes) -> UUID:
        tenant_id = await self._look_up(digest)
        if tenant_id is None:
            self._known.pop(digest, None)
            _keep(self._unknown, digest, time.monotonic() + UNKNOWN_TTL)
            raise _invalid()
        _keep(self._known, digest, (tenant_id, time.monotonic() + KNOWN_TTL))
        return tenant_id

    async def _look_up(self, digest: bytes) -> UUID | None:
        """Read the tenant of a token that is not revoked. No lock; unique index on digest."""
        async with self._engine.connect() as connection:
            found = await connection.execute(
                select(tokens.c.tenant_id, tokens.c.digest).where(
                    tokens.c.digest == digest, tokens.c.revoked_at.is_(None)
                )
            )
            row = found.one_or_none()
        if row is None or not hmac.compare_digest(row.digest, digest):
            return None
        tenant_id: UUID = row.tenant_id
        return tenant_id


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode(errors="surrogateescape")).digest()


def _invalid() -> CallerError:
    return CallerError(
        "TOKEN_INVALID",
        "the bearer token is not known here; the server wrote its first one to the file `token` "
        "in its data directory",
    )


def _keep(remembered: dict[bytes, T], digest: bytes, value: T) -> None:
    if len(remembered) >= REMEMBERED and digest not in remembered:
        del remembered[next(iter(remembered))]  # the oldest
    remembered[digest] = value
