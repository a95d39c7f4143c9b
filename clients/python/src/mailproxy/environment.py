"""Where the server is and what the token is, from the environment.

Reads environment variables and token files; keeps nothing.
"""

import os
from collections.abc import Mapping
from pathlib import Path

DEFAULT_TARGET = "127.0.0.1:50051"


def target(environ: Mapping[str, str] = os.environ) -> str:
    """Give MAILPROXY_TARGET, or the server's default address."""
    return environ.get("MAILPROXY_TARGET") or DEFAULT_TARGET


def tls(environ: Mapping[str, str] = os.environ) -> bool | None:
    """Give whether MAILPROXY_TLS asks for TLS ("1", "true", "yes")."""
    return environ.get("MAILPROXY_TLS", "").lower() in ("1", "true", "yes") or None


def token(environ: Mapping[str, str] = os.environ) -> str | None:
    """Give the bearer token: MAILPROXY_TOKEN, the file MAILPROXY_TOKEN_FILE, or the one that a
    server on this machine wrote to its data directory; None when there is none of them.

    Raises OSError when a file that was named, or that exists, cannot be read.
    """
    if given := environ.get("MAILPROXY_TOKEN"):
        return given.strip()
    if named := environ.get("MAILPROXY_TOKEN_FILE"):
        return read_token(Path(named))
    found = data_directory(environ) / "token"
    try:
        return read_token(found)
    except FileNotFoundError:
        return None


def read_token(path: Path) -> str:
    """Give the token that a file holds."""
    return path.read_text().strip()


def data_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """Give the directory in which a server of this user keeps its token."""
    if given := environ.get("MAILPROXY_DATA_DIR"):
        return Path(given)
    if os.geteuid() == 0:
        return Path("/var/lib/mailproxy")
    state = environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111
    return Path(state) / "mailproxy"
