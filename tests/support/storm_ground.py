"""What a storm's server stands on: a primary and a standby, each behind a wire, with a clock.

    async with storm_ground(folder, synchronous=True) as ground:
        ground.url                  # names both, through their wires
        ground.wire.freeze()        # of the primary as it is now
        ground.set_clock(-3600)

Debian's PostgreSQL 15. The clocks need libfaketime: `clocked` says whether it is there.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg

from tests.support.between import Between, between
from tests.support.postgres_pair import (
    PROGRAMS,
    STANDBY,
    Node,
    PostgresPair,
    postgres_pair,
)
from tests.support.set_clock import Clock

DATABASE = "mail"
_FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_REFUSE = """
CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION 'could not extend file: No space left on device'
       USING ERRCODE = '53100'; END $$;
DO $$ DECLARE one regclass; BEGIN
    FOR one IN SELECT oid FROM pg_class WHERE relnamespace = 'mailproxy'::regnamespace
        AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY relname LOOP
        EXECUTE format('CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON %s '
                       'EXECUTE FUNCTION public.refuse()', one);
    END LOOP;
END $$"""
_ALLOW = "DROP FUNCTION IF EXISTS public.refuse CASCADE"
_LOCKS = asyncpg.DeadlockDetectedError, asyncpg.LockNotAvailableError


def is_there() -> bool:
    """Whether this machine has what a ground needs."""
    return (PROGRAMS / "pg_basebackup").is_file()


class Ground:
    """It; who is primary and who standby changes."""

    def __init__(
        self, pair: PostgresPair, wires: dict[Node, Between], clocks: dict[Node, Clock], url: str
    ) -> None:
        self.pair = pair
        self.url = url
        self.synchronous = False
        self._wires = wires
        self._clocks = clocks

    @property
    def clocked(self) -> bool:
        """Whether there are clocks to set."""
        return bool(self._clocks)

    @property
    def wire(self) -> Between:
        """The wire between the server and the primary."""
        return self._wires[self.pair.primary]

    def set_clock(self, seconds: int) -> None:
        """Set the primary's clock to so many seconds ahead; the standby's stays."""
        if self.clocked:
            self._clocks[self.pair.primary].set(seconds)

    def set_clocks_right(self) -> None:
        """Set all clocks right."""
        for clock in self._clocks.values():
            clock.set(0)

    async def be_synchronous(self) -> None:
        """Have commits wait for the standby from now on."""
        self.synchronous = True
        await self.pair.primary.set("synchronous_standby_names", STANDBY)

    async def fill(self) -> None:
        """Refuse what takes room, as a full disk does; what frees some is done."""
        await self._change(_REFUSE)

    async def empty(self) -> None:
        """Have room again."""
        await self._change(_ALLOW)

    async def backends(self) -> list[int]:
        """Give the processes of the sessions that the server has with the primary."""
        query = "SELECT array_agg(pid) FROM pg_stat_activity WHERE datname = $1"
        return list(await self.pair.primary.fetchval(query, DATABASE) or ())

    async def end(self, backends: list[int]) -> None:
        """End these sessions, as TCP does in the end to one whose other side is gone."""
        await self.pair.primary.fetchval(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid = ANY ($1)",
            backends,
        )

    async def _change(self, sql: str) -> None:
        """Run statements that need locks on the tables in use, waiting for none of them long."""
        link = await asyncpg.connect(self.pair.primary.url_of(DATABASE))
        try:
            async with asyncio.timeout(60):
                while True:
                    try:
                        await link.execute(f"SET lock_timeout = '1s'; {sql}")
                    except _LOCKS:
                        await asyncio.sleep(0.1)
                    else:
                        return
        finally:
            link.terminate()


@asynccontextmanager
async def storm_ground(folder: Path, *, synchronous: bool) -> AsyncIterator[Ground]:
    """Run one below `folder` until the block ends; see `postgres_pair`."""
    clocks = {name: Clock(folder / f"clock-{name}") for name in ("a", "b") if _FAKETIME.is_file()}
    for clock in clocks.values():
        clock.set(0)
    variables = {
        name: {
            "LD_PRELOAD": str(_FAKETIME),
            "FAKETIME_TIMESTAMP_FILE": str(clock.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        for name, clock in clocks.items()
    }
    async with postgres_pair(folder, variables) as pair:
        await pair.make_database(DATABASE)
        first, second = pair.primary, pair.standby
        async with (
            between(first.url_of(DATABASE)) as before_first,
            between(second.url_of(DATABASE)) as before_second,
        ):
            hosts = ",".join(
                urlsplit(w.url).netloc.split("@")[1] for w in (before_first, before_second)
            )
            ground = Ground(
                pair,
                {first: before_first, second: before_second},
                {node: clocks[node.folder.name] for node in (first, second) if clocks},
                f"postgresql://mailproxy@{hosts}/{DATABASE}?sslmode=disable&connect_timeout=3",
            )
            if synchronous:
                await ground.be_synchronous()
            yield ground
