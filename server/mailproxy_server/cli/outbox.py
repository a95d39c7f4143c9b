"""`mailproxy outbox` and `mailproxy relay-outbox`: mail of applications' own transactions."""

import asyncio
import contextlib
import signal
from pathlib import Path
from typing import Annotated

import typer
from mailproxy import environment
from mailproxy.aio import AsyncMailProxyClient

from mailproxy_server.cli import options
from mailproxy_server.cli.connection import FAILED
from mailproxy_server.cli.relaying import Relay
from mailproxy_server.queue import migrations

GRANTS = """\
-- A role that may put mail into the outbox, and nothing else: it can read nothing, not even
-- what it put there. Grant it to the roles of your applications: GRANT mailproxy_app TO shop;
CREATE ROLE mailproxy_app NOLOGIN;
GRANT USAGE ON SCHEMA mailproxy TO mailproxy_app;
GRANT INSERT (tenant, request_id, email, traceparent) ON mailproxy.outbox TO mailproxy_app;
GRANT EXECUTE ON FUNCTION mailproxy.submit TO mailproxy_app;
"""

From = Annotated[
    str, typer.Option("--from", help="The application's database, as postgresql://user@host/db.")
]
Once = Annotated[bool, typer.Option(help="Move what there is, and end.")]
Name = Annotated[
    str,
    typer.Option(help="Names that database in the request_ids made here. Default: its own id."),
]


def commands(app: typer.Typer) -> None:
    """Add the commands of this file to the CLI."""
    group = typer.Typer(help="Mail of applications' own transactions.", no_args_is_help=True)
    group.command()(grants)
    group.command()(sql)
    app.add_typer(group, name="outbox")
    app.command("relay-outbox", epilog=options.EXIT_CODES)(relay_outbox)


def grants() -> None:
    """Print the SQL that makes a role for applications, which may put mail in and nothing else."""
    print(GRANTS, end="")


def sql() -> None:
    """Print the SQL that makes an outbox in an application's own database."""
    outbox = Path(migrations.__file__).with_name("outbox.sql").read_text()
    print(f"CREATE SCHEMA IF NOT EXISTS mailproxy;\n\n{outbox}", end="")


def relay_outbox(
    source: From,
    once: Once = False,
    name: Name = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
) -> None:
    """Move mail from the outbox of another database to a server, exactly once.

    Any number of these may run side by side. A row that the server refuses stays in its table,
    with what is wrong with it.
    """
    where = target or environment.target()
    token = environment.read_token(token_file) if token_file else environment.token()
    if not asyncio.run(_run(source, name, once, where, token)):
        raise typer.Exit(FAILED)


async def _run(source: str, name: str, once: bool, where: str, token: str | None) -> bool:
    loop = asyncio.get_running_loop()
    async with AsyncMailProxyClient(where, token, tls=environment.tls()) as client:
        moving = Relay(source, client, name, print)
        task = asyncio.create_task(moving.once() if once else moving.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            return await task
    return True
