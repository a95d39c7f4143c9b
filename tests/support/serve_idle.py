"""`mailproxy serve` with children that do nothing but hold the port and a database connection.

A program: for tests of the supervisor by itself. MAILPROXY_TEST_IDLE says how the children are
odd: "stubborn" ones ignore the drain, "refusing" ones do not start.
MAILPROXY_TEST_BUSY is for how many seconds their loop does not turn, before and after they serve,
as "8 3".
"""

import asyncio
import os
import socket
import sys
import time
from pathlib import Path

import asyncpg
from mailproxy_server.app import roles
from mailproxy_server.app.lifeline import Lifeline
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.cli.root import app
from mailproxy_server.settings import Settings

PROGRAM = (sys.executable, "-P", str(Path(__file__)))


async def run(settings: Settings, lifeline: Lifeline, database_url: str) -> None:
    odd = os.environ.get("MAILPROXY_TEST_IDLE")
    if odd == "refusing":
        raise Refusal("the moon is full: wait a day")
    before, after = map(float, os.environ.get("MAILPROXY_TEST_BUSY", "0 0").split())
    block(before)
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(settings.grpc_listen)
        listener.listen()
        connection = await asyncpg.connect(database_url)
        await connection.execute(
            "SELECT pg_advisory_xact_lock(1); CREATE TABLE IF NOT EXISTS public.starts (pid int)"
        )
        await connection.execute("INSERT INTO public.starts VALUES ($1)", os.getpid())
        lifeline.ready()
        block(after)
        await lifeline.until_drain()
        if odd == "stubborn":
            await asyncio.Event().wait()
        await connection.close()


def block(seconds: float) -> None:
    """Let the loop do nothing else for so long."""
    time.sleep(seconds)


def main() -> None:
    if len(sys.argv) == 5 and sys.argv[1] in roles.MODULES:
        roles.MODULES = dict.fromkeys(roles.MODULES, "__main__")
        sys.exit(roles.run_role(sys.argv[1], *map(int, sys.argv[2:])))
    app(obj=PROGRAM)


if __name__ == "__main__":
    main()
