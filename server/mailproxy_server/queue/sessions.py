"""Makes every session of ours with PostgreSQL: of the pools, of LISTEN, of migrations, of commands.

One place, so that each session has the same guarantees:

* `search_path = pg_catalog, pg_temp`: no object that somebody else made is ever called by mistake;
* `synchronous_commit = on`: a commit that was answered is on disk;
* the server is a primary: one that takes writes where there is such a one, else a primary that is
  read-only just now (reading goes on), never a standby;
* a host that vanishes is noticed (TCP keepalive, TCP_USER_TIMEOUT);
* the URL and the password are read anew for each session, so that a rotated one is used.

Through PgBouncer in transaction mode (`pooled`) a session cannot bring settings of its own: they
belong to the role (`migrate` sets them), and are looked at here.
"""

import contextlib
import os
import random
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import asyncpg

from mailproxy_server.queue.dsn import Dsn, DsnError, Host, parse
from mailproxy_server.queue.passfile import password_for
from mailproxy_server.queue.unavailable import CannotConnect, NotOurs

if TYPE_CHECKING:
    Session: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Session = asyncpg.Connection

GUARANTEES: Mapping[str, str] = {
    "search_path": "pg_catalog, pg_temp",
    "synchronous_commit": "on",
    "timezone": "UTC",
}
"""Settings of every session."""

_LOOK = """
SELECT pg_catalog.pg_is_in_recovery() AS standby,
       pg_catalog.current_setting('transaction_read_only') AS read_only,
       pg_catalog.current_setting('search_path') AS search_path,
       pg_catalog.current_setting('synchronous_commit') AS synchronous_commit
"""
_POOLER = (
    "a pooler is in between, which drops settings and notifications: set "
    "MAILPROXY_DATABASE_DIRECT_URL to the way around it"
)
_POOLED_REMEDY = "run `mailproxy migrate` with this role, then RECONNECT in PgBouncer's console"
_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    UnicodeError,
)

Source: TypeAlias = str | Callable[[], str]
"""The URL, or what gives it: asked before each session."""
Check = Callable[[Session], Awaitable[None]]
"""Looks at a new session before it is used; what it raises ends the session."""


class _Standby(NotOurs):
    """The host is up, and no primary."""


def sessions_of(source: "str | Sessions") -> "Sessions":
    """Give what makes sessions with a database, also where only its URL is known."""
    return Sessions(source) if isinstance(source, str) else source


class Sessions:
    """Makes sessions with the database at `source`; `check` sees each of them first."""

    def __init__(self, source: Source, *, pooled: bool = False, check: Check | None = None) -> None:
        self._source = source
        self.pooled = pooled
        self._check = check
        self._best: Host | None = None
        self._failed: dict[Host, float] = {}
        """When hosts failed last, by the monotonic clock, of those that worked no more since."""
        self.generation = 0
        """Raised when those made before are likely stale: a pool looks before it lends one."""

    def dsn(self) -> Dsn:
        """Read the URL as it is now; raises DsnError."""
        return parse(self._source if isinstance(self._source, str) else self._source())

    async def connect(
        self,
        name: str = "mailproxy",
        *,
        settings: Mapping[str, str] | None = None,
        command_timeout: float | None = None,
        ours: bool = True,
    ) -> Session:
        """Make a session, with the first of the hosts that will do.

        `name` is its application_name where the URL gives none. `settings` are beside the
        guarantees. `ours` is False for an application's database, which need not be as ours are.
        Raises CannotConnect.
        """
        try:
            dsn = self.dsn()
        except (DsnError, OSError) as error:
            raise CannotConnect(str(error)) from error
        given = {"application_name": name, **dsn.session}
        if not self.pooled:
            given |= {**(settings or {}), **GUARANTEES}
        spare: Session | None = None
        spare_host: Host | None = None
        failure: BaseException | None = None
        for host in self._in_order(dsn):
            try:
                link = await self._open(dsn, host, given, command_timeout)
                try:
                    writes = await self._looked_at(link, dsn.connect_seconds, ours=ours)
                except BaseException:
                    link.terminate()
                    raise
            except _ERRORS as error:
                self._failed[host] = time.monotonic()
                if failure is None or not isinstance(error, _Standby):
                    failure = error  # of the primary, where there is one
                continue
            except BaseException:  # given up by who waits: the next one begins with another host
                self._failed[host] = time.monotonic()
                raise
            self._failed.pop(host, None)
            if writes or dsn.target != "read-write":
                if spare is not None:
                    spare.terminate()
                spare, spare_host = link, host
                break
            if spare is None:
                spare, spare_host = link, host
            else:
                link.terminate()
        if spare is None:
            raise _failed(failure) from failure
        self._best = spare_host
        return spare

    def _in_order(self, dsn: Dsn) -> list[Host]:
        hosts = list(dsn.hosts)
        if dsn.shuffled:
            random.shuffle(hosts)
        elif self._best in hosts:  # the one that was a primary last is one most likely
            hosts.remove(self._best)
            hosts.insert(0, self._best)
        # Those that failed come last: who waits for a session may not wait for a second host.
        hosts.sort(key=lambda host: self._failed.get(host, 0.0))
        return hosts

    async def _open(
        self, dsn: Dsn, host: Host, settings: Mapping[str, str], command_timeout: float | None
    ) -> Session:
        # Which server will do is judged here: a read-only primary is better than none.
        more: dict[str, Any] = {"target_session_attrs": "any"}
        if dsn.system_roots:
            more["ssl"] = True
        if (password := password_for(dsn.url, *host)) is not None:
            more["password"] = password
        try:
            link: Session = await asyncpg.connect(
                dsn.url,
                host=host[0],
                port=host[1],
                timeout=dsn.connect_seconds,
                command_timeout=command_timeout,
                server_settings=dict(settings),
                # Behind PgBouncer the next statement may run on another server's connection.
                statement_cache_size=0 if self.pooled else 100,
                **more,
            )
        except asyncpg.ProtocolViolationError as error:
            if not self.pooled and "startup parameter" in str(error):  # PgBouncer takes none
                raise NotOurs(_POOLER) from error
            raise
        except TimeoutError:
            where = host[0] or "the database's host"
            raise TimeoutError(f"{where} did not answer within {dsn.connect_seconds:g} s") from None
        _keep_alive(link, dsn)
        return link

    async def _looked_at(self, link: Session, seconds: float, *, ours: bool) -> bool:
        """Give whether the server takes writes; raises NotOurs for one that is not to be used."""
        row = await link.fetchrow(_LOOK, timeout=seconds)
        assert row is not None, "a SELECT without FROM gives a row"
        if row["standby"]:
            raise _Standby("the server is a standby, which takes no mail: name the primary")
        for setting in ("search_path", "synchronous_commit") if ours else ():
            if row[setting] != GUARANTEES[setting]:
                remedy = _POOLED_REMEDY if self.pooled else _POOLER
                raise NotOurs(
                    f"{setting} is {row[setting]!r}, not {GUARANTEES[setting]!r}: {remedy}"
                )
        if self._check is not None and ours:
            await self._check(link)
        return bool(row["read_only"] == "off")


def _failed(error: BaseException | None) -> CannotConnect:
    words = (str(error).strip() or type(error).__name__).splitlines()[0]
    return CannotConnect(words)


def _keep_alive(link: Session, dsn: Dsn) -> None:
    """Have the kernel notice a host that is gone. asyncpg has no public way to its socket."""
    transport: Any = getattr(link, "_transport", None)
    given = transport.get_extra_info("socket") if transport is not None else None
    if given is None or given.family == socket.AF_UNIX:
        return
    # A socket of our own for the same connection: uvloop's takes no options.
    with socket.socket(fileno=os.dup(given.fileno())) as mine, contextlib.suppress(OSError):
        mine.setsockopt(
            socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(bool(dsn.keepalive["keepalives"]))
        )
        for option, name in (
            ("TCP_KEEPIDLE", "keepalives_idle"),
            ("TCP_KEEPINTVL", "keepalives_interval"),
            ("TCP_KEEPCNT", "keepalives_count"),
        ):
            if dsn.keepalive[name] and hasattr(socket, option):
                mine.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), dsn.keepalive[name])
        if dsn.user_timeout_ms and hasattr(socket, "TCP_USER_TIMEOUT"):
            mine.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, dsn.user_timeout_ms)
