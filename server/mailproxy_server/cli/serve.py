"""`mailproxy serve` and `mailproxy migrate`: run the server, bring its database up to date.

Flags are the settings by another name: they go into the environment, where this process and its
children read them. What prevents a start is one line on stderr and exit code 1.
"""

import asyncio
import contextlib
import enum
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import structlog
import typer

from mailproxy_server.app.database import renew_logs, running, upgrade
from mailproxy_server.app.datadir import DataDir, locate
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.app.supervise import PROGRAM, Supervisor
from mailproxy_server.settings import PREFIX, Settings, SettingsError, load, misspelt
from mailproxy_server.telemetry.logs import configure_logging

_CLIENTS = ("MAILPROXY_TARGET", "MAILPROXY_TLS", "MAILPROXY_TOKEN", "MAILPROXY_TOKEN_FILE")
"""What the client library reads: no settings, and no misspelt ones either."""


class Role(enum.StrEnum):
    """What a run can be limited to."""

    front = "front"
    dispatcher = "dispatcher"


def alone() -> None:
    """Be the `mailproxy` command with the commands of this file only."""
    app = typer.Typer(name="mailproxy", pretty_exceptions_enable=False, add_completion=False)
    add_to(app)
    app()


def add_to(app: typer.Typer) -> None:
    """Add the commands of this file to the CLI."""
    app.command()(serve)
    app.command()(migrate)


def serve(
    context: typer.Context,
    fronts: Annotated[int | None, typer.Option(help="Processes that serve gRPC.")] = None,
    dispatchers: Annotated[int | None, typer.Option(help="Processes that send.")] = None,
    role: Annotated[Role | None, typer.Option(help="Run this role alone.")] = None,
    grpc_listen: Annotated[str | None, typer.Option(help="host:port of gRPC.")] = None,
    data_dir: Annotated[str | None, typer.Option(help="Folder of database, token, key.")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="With an inbox and sample messages.")
    ] = False,
) -> None:
    """Run the server until SIGTERM or Ctrl-C, then drain."""
    if role is Role.front:
        dispatchers = 0
    elif role is Role.dispatcher:
        fronts = 0
    flags = {
        "FRONTS": fronts,
        "DISPATCHERS": dispatchers,
        "GRPC_LISTEN": grpc_listen,
        "DATA_DIR": data_dir,
        "DEMO": demo or None,
    }
    os.environ.update(
        {PREFIX + name: str(flag) for name, flag in flags.items() if flag is not None}
    )
    with _refusing():
        settings = load()
        configure_logging(settings, process="supervisor")
        for line in misspelt({k: v for k, v in os.environ.items() if k not in _CLIENTS}):
            structlog.get_logger().warning(line)
        clean = _serve(settings, context.obj or PROGRAM)
    sys.exit(0 if clean else 1)


def migrate(
    new_log: Annotated[
        bool,
        typer.Option(
            "--new-log", help="After a restore of a disk's snapshot: refuse cursors past it."
        ),
    ] = False,
) -> None:
    """Bring the database's schema up to date; safe to run while others serve."""
    with _refusing():
        settings = load()
        configure_logging(settings, process="migrate")
        asyncio.run(_migrate(settings, new_log))
    print("The database is up to date.")
    if new_log:
        print("Every report log begins anew here: cursors past what was restored are refused.")


def _serve(settings: Settings, program: Sequence[str]) -> bool:
    if not settings.fronts and not settings.dispatchers:
        raise Refusal(f"{PREFIX}FRONTS and {PREFIX}DISPATCHERS are both 0: nothing would run")
    data, held = _open(settings)
    return asyncio.run(Supervisor(settings, data, held, program).run())


async def _migrate(settings: Settings, new_log: bool) -> None:
    data, held = (None, ()) if settings.database_url else _open(settings)
    async with running(settings, data, held) as database:
        await upgrade(settings, database.url)
        if new_log:
            await renew_logs(settings, database.url)


def _open(settings: Settings) -> tuple[DataDir | None, tuple[int, ...]]:
    """Open and lock the data directory, unless the settings hold all that it would."""
    if settings.database_url and settings.secret_key:
        return None, ()
    data = DataDir.open(locate(settings.data_dir))
    held = (data.lock(settings.drain_seconds + 60),)
    if not settings.secret_key:
        data.secret_key()
    return data, held


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Say a refusal in one line."""
    try:
        yield
    except (Refusal, SettingsError) as refusal:
        print(f"mailproxy: {refusal}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
