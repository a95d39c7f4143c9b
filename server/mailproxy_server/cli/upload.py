"""`mailproxy upload`: give the server files that messages will name."""

from pathlib import Path
from typing import Annotated

import typer

from mailproxy_server.cli import options, output
from mailproxy_server.cli.connection import connected

Files = Annotated[list[Path], typer.Argument(help="Files to upload.", exists=True, dir_okay=False)]


def commands(app: typer.Typer) -> None:
    """Add the command of this file to the CLI."""
    app.command(epilog=options.EXIT_CODES)(upload)


def upload(
    files: Files,
    target: options.Target = None,
    token_file: options.TokenFile = None,
    as_json: options.Json = False,
) -> None:
    """Upload files once; each line names what messages call one by (Attachment.blob)."""
    with connected("upload", target, token_file, retry=True) as client:
        for file in files:
            kept = client.upload(file)
            if as_json:
                output.print_json({"file": str(file), **output.as_json(kept)})
            else:
                again = " (kept before)" if kept.known else ""
                until = output.local_time(kept.expire_time)
                print(f"{kept.blob}  {file}, {kept.octets} bytes, kept until {until}{again}")
