"""How a command reaches the server, and how it ends when it cannot: exit code and remedy."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import typer
from mailproxy import environment
from mailproxy.errors import (
    AuthenticationError,
    DeadlineError,
    MailProxyError,
    OverloadedError,
    UnavailableError,
)
from mailproxy.sync import MailProxyClient

from mailproxy_server.cli.output import clean

FAILED, USAGE, UNREACHABLE, UNAUTHENTICATED = 1, 2, 3, 4

_NAME_ITS_FILE = (
    "mailproxy status --token-file FILE   (a server's own: `token` in its data directory)"
)
_EARLIEST = "mailproxy reports   (from the earliest that is kept)"
_REMEDIES = {
    "TOKEN_INVALID": _NAME_ITS_FILE,
    "TOKEN_MISSING": _NAME_ITS_FILE,
    "ACCOUNT_NOT_FOUND": "mailproxy account list   (or: account set ID --host smtp.example.com)",
    "ACCOUNT_HAS_QUEUED": "mailproxy account delete ID --force   (fails what is queued)",
    "ETAG_MISMATCH": "mailproxy account show ID",
    "MESSAGE_NOT_FOUND": "mailproxy reports   (names the messages that there are)",
    "CURSOR_EXPIRED": _EARLIEST,
    "CURSOR_FOREIGN": _EARLIEST,
    "QUEUE_FULL": "mailproxy status   (and again when there is less)",
}


@contextlib.contextmanager
def connected(
    command: str, target: str | None, token_file: Path | None, *, retry: bool = False
) -> Iterator[MailProxyClient]:
    """Give `command` a client; what goes wrong becomes lines on stderr and an exit code.

    `retry`: wait for a server that is not there, up to the client's timeout.
    """
    where = target or environment.target()
    try:
        token = environment.read_token(token_file) if token_file else environment.token()
        with MailProxyClient(where, token, tls=environment.tls(), retry=retry) as client:
            yield client
    except MailProxyError as error:
        for line in explained(error, command, where):
            print(line, file=sys.stderr)
        raise typer.Exit(exit_code(error)) from None
    except BrokenPipeError:  # who reads has seen enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit from None
    except (OSError, ValueError) as error:
        print(f"mailproxy: {clean(str(error))}", file=sys.stderr)
        print(f"Try: mailproxy {command} --help", file=sys.stderr)
        raise typer.Exit(FAILED) from None


def exit_code(error: MailProxyError) -> int:
    """Give the exit code for an error."""
    if isinstance(error, AuthenticationError):
        return UNAUTHENTICATED
    if isinstance(error, UnavailableError | DeadlineError | OverloadedError):
        return UNREACHABLE
    return FAILED


def explained(error: MailProxyError, command: str, target: str) -> Iterator[str]:
    """Give the lines that say what went wrong and, last, the command that mends it."""
    reason = f" [{error.reason}]" if error.reason else ""
    if len(error.field_violations) < 2:
        yield f"mailproxy: {clean(error.message)}{reason}"
    else:
        yield f"mailproxy: {len(error.field_violations)} fields are at fault{reason}"
        for violation in error.field_violations:
            yield f"  {clean(violation.field)}: {clean(violation.description)}"
    if (request_id := error.metadata.get("request_id")) and exit_code(error) == UNREACHABLE:
        yield f"It is sent once if it is repeated with --request-id {request_id}"
    yield f"Try: {_remedy(error, command, target)}"


def _remedy(error: MailProxyError, command: str, target: str) -> str:
    if error.reason == "REQUEST_ID_REUSED":
        return f"mailproxy message show {clean(error.metadata.get('message_id', 'ID'))}"
    if known := _REMEDIES.get(error.reason):
        return known
    if isinstance(error, UnavailableError) and not error.reason:
        return f"mailproxy serve   (nothing answers at {target}; another place: --target host:port)"
    if isinstance(error, UnavailableError | DeadlineError | OverloadedError):
        return f"mailproxy {command}   (the same again, in a moment)"
    if error.field_violations:
        return f"mailproxy {command} --help"
    return "mailproxy status"
