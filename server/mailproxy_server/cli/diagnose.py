"""`mailproxy diagnose`: what is wrong, and what to do about it. Reads the database itself."""

import asyncio
import sys
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from mailproxy_server.app import diagnosis
from mailproxy_server.app.findings import Finding, Level
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.cli import options, output
from mailproxy_server.settings import SettingsError, load

Old = Annotated[
    float, typer.Option(min=1, help="Seconds from which on a transaction, or due mail, is old.")
]
_SIGNS = {
    Level.OK: ("ok", "green"),
    Level.WARNING: ("!!", "yellow"),
    Level.FAULT: ("XX", "red bold"),
}


def commands(app: typer.Typer) -> None:
    """Add the command of this file to the CLI."""
    app.command()(diagnose)


def diagnose(old_seconds: Old = diagnosis.OLD_SECONDS, as_json: options.Json = False) -> None:
    """Say what is wrong, and what to do about it; 1 when anything is.

    Looks at the database (MAILPROXY_DATABASE_URL, or the embedded one), its schema, the clock,
    disks, dispatchers, leases, relays, limits, pauses, notifications and what holds back vacuum.
    """
    try:
        faults = asyncio.run(_show(old_seconds, as_json))
    except (Refusal, SettingsError) as refusal:
        print(f"mailproxy: {refusal}", file=sys.stderr)
        sys.exit(1)
    sys.exit(1 if faults else 0)


async def _show(old_seconds: float, as_json: bool) -> int:
    console = Console(soft_wrap=True)
    faults = warnings = 0
    async for found in diagnosis.examine(load(), old_seconds):
        faults += found.level is Level.FAULT
        warnings += found.level is Level.WARNING
        if as_json:
            output.print_json(asdict(found))
        else:
            _print(console, found)
    if not as_json:
        counted = f"{faults} faults, {warnings} warnings" if faults or warnings else "All is well."
        console.print(Text(counted, style="bold"))
    return faults


def _print(console: Console, found: Finding) -> None:
    sign, style = _SIGNS[found.level]
    line = Text(f"{sign}  ", style=style)
    line.append(f"{output.clean(found.subject)}: ", style="bold")
    line.append(output.clean(found.words), style="default")
    console.print(line)
    if found.remedy:
        console.print(Text(f"      -> {output.clean(found.remedy)}", style="default"))
