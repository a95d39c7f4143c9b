"""`mailproxy outbox` and `mailproxy relay-outbox`: mail of applications' own transactions."""

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from mailproxy import environment
from mailproxy.aio import AsyncMailProxyClient

from mailproxy_server.cli import options
from mailproxy_server.cli.connection import FAILED, UNREACHABLE
from mailproxy_server.cli.output import clean
from mailproxy_server.cli.relaying import AWAY, BATCH, Relay, Unusable
from mailproxy_server.queue import migrations

GRANTS = """\
-- A role that may put mail into the outbox, and nothing else: it can read nothing, not even
-- what it put there. Grant it to the roles of your applications: GRANT mailproxy_app TO shop;
DO $$ BEGIN
    CREATE ROLE mailproxy_app NOLOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;  -- made for another database of this cluster
END $$;
GRANT USAGE ON SCHEMA mailproxy TO mailproxy_app;
GRANT INSERT (tenant, request_id, email, traceparent) ON mailproxy.outbox TO mailproxy_app;
GRANT EXECUTE ON FUNCTION mailproxy.submit TO mailproxy_app;
"""

RELAY_GRANTS = """\
-- A role for `mailproxy relay-outbox`, in an application's own database.
DO $$ BEGIN
    CREATE ROLE mailproxy_relay NOLOGIN;
EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
GRANT USAGE ON SCHEMA mailproxy TO mailproxy_relay;
GRANT SELECT, DELETE, UPDATE (refused_at, field, error) ON mailproxy.outbox TO mailproxy_relay;
"""

From = Annotated[
    str, typer.Option("--from", help="The application's database, as postgresql://user@host/db.")
]
Once = Annotated[bool, typer.Option("--once", help="Move what there is, and end.")]
Batch = Annotated[int, typer.Option(min=1, max=1000, help="Rows that are moved together.")]
Name = Annotated[
    str,
    typer.Option(help="Names that database in the request_ids made here. Default: its own id."),
]
ForRelay = Annotated[
    bool, typer.Option("--relay", help="For relay-outbox, in an application's own database.")
]

_NAME_LIMIT = 60


def commands(app: typer.Typer) -> None:
    """Add the commands of this file to the CLI."""
    group = typer.Typer(help="Mail of applications' own transactions.", no_args_is_help=True)
    group.command()(grants)
    group.command()(sql)
    app.add_typer(group, name="outbox")
    app.command("relay-outbox", epilog=options.EXIT_CODES)(relay_outbox)


def grants(relay: ForRelay = False) -> None:
    """Print the SQL that makes a role for applications, which may put mail in and nothing else."""
    print(RELAY_GRANTS if relay else GRANTS, end="")


def sql() -> None:
    """Print the SQL that makes an outbox in an application's own database."""
    outbox = Path(migrations.__file__).with_name("outbox.sql").read_text()
    print(f"CREATE SCHEMA IF NOT EXISTS mailproxy;\n\n{outbox}", end="")


def relay_outbox(
    source: From,
    once: Once = False,
    batch: Batch = BATCH,
    name: Name = "",
    target: options.Target = None,
    token_file: options.TokenFile = None,
) -> None:
    """Move mail from the outbox of another database to a server, exactly once.

    Any number of these may run side by side. A row that the server refuses stays in its table,
    with what is wrong with it.
    """
    if len(name) > _NAME_LIMIT or not name.isprintable():
        raise typer.BadParameter(f"at most {_NAME_LIMIT} printable characters", param_hint="--name")
    where = target or environment.target()
    try:
        token = environment.read_token(token_file) if token_file else environment.token()
        client = AsyncMailProxyClient(where, token, tls=environment.tls())
    except (OSError, ValueError) as error:
        raise _ended(str(error), FAILED) from None
    try:
        done = asyncio.run(_run(Relay(source, client, name, _say, batch), client, once))
    except Unusable as error:
        raise _ended(str(error), FAILED) from None
    except AWAY as error:
        words = f"the application's database does not answer ({error or type(error).__name__})"
        raise _ended(words, UNREACHABLE) from None
    if not done:
        raise typer.Exit(UNREACHABLE)


def _ended(words: str, code: int) -> typer.Exit:
    print(f"mailproxy: {clean(words)}", file=sys.stderr)
    return typer.Exit(code)


async def _run(relay: Relay, client: AsyncMailProxyClient, once: bool) -> bool:
    """Move, until SIGTERM or Ctrl-C; what is being submitted then stays in its table."""
    loop = asyncio.get_running_loop()
    async with client:
        task = asyncio.create_task(relay.once() if once else relay.run())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, task.cancel)
        with contextlib.suppress(asyncio.CancelledError):
            return await task is not False
    _say(f"stopped after moving {relay.moved}")
    return True


def _say(words: str) -> None:
    print(clean(words), flush=True)
