"""`mailproxy demo`: see for yourself what a crash costs."""

import asyncio
from typing import Annotated

import typer

group = typer.Typer(help="Try the promises on this machine.", no_args_is_help=True)


def commands(app: typer.Typer) -> None:
    """Add the commands of this file to the CLI."""
    app.add_typer(group, name="demo")


@group.callback()
def demo() -> None:
    """Try the promises on this machine."""


@group.command("kill")
def kill(
    messages: Annotated[int, typer.Option(min=1, max=100_000, help="How many to send.")] = 500,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="How often to kill.")] = 4,
) -> None:
    """Send messages through a server whose processes are killed -9 meanwhile, and count.

    Starts a server and an inbox of its own and touches no other.
    """
    from mailproxy_server.demo.kill import run

    typer.echo(f"{messages} messages go through a server of their own; it is killed {rounds} times")
    tally = asyncio.run(run(messages, rounds))
    kills = ", ".join(f"{what} {count}" for what, count in sorted(tally.kills.items()))
    typer.echo(f"acknowledged {len(tally.acknowledged)}, arrived {len(tally.arrived)}")
    typer.echo(f"killed: {kills}")
    typer.echo(f"lost {tally.lost}, gaps {tally.gaps}, duplicates {tally.duplicates}")
    if tally.duplicates:
        typer.echo(
            "A duplicate: the relay had it, and the process died before it could write that down."
        )
    if tally.lost or tally.gaps:
        raise typer.Exit(1)
