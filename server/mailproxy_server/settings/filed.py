"""Secrets that come in files, as containers are given them: MAILPROXY_<NAME>_FILE."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILED = ("database_url", "database_direct_url", "secret_key", "bootstrap_token", "http_token")
"""Settings that may be given by the name of a file."""


def with_files(given: Mapping[str, Any]) -> dict[str, Any]:
    """Put in what the files hold; raises ValueError for one that cannot be read, and for a setting
    that is given both ways."""
    found = dict(given)
    for name in FILED:
        path, variable = found.get(f"{name}_file"), f"MAILPROXY_{name.upper()}"
        if not path:
            continue
        if found.get(name):
            raise ValueError(f"{variable} and {variable}_FILE are both set: keep one")
        try:
            found[name] = Path(path).read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is no text"
            raise ValueError(f"{variable}_FILE: {path} cannot be read ({why})") from None
    return found
