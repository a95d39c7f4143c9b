"""Reads a password file (PGPASSFILE, ~/.pgpass) as libpq does.

asyncpg reads one too, but takes a password with its escapes: one that has a colon or a backslash
in it would be refused.

Source: PostgreSQL 18, "34.16. The Password File".
"""

import getpass
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

_ELSEWHERE = ("PGPASSWORD", "PGSERVICE")


def password_for(
    url: str, host: str | None, port: int | None, environment: Mapping[str, str] = os.environ
) -> str | None:
    """Give the password that the file has for this host, read now.

    None where it has none or is no one's business but its owner's, and where the URL or a variable
    gives the password, or a service file may.
    """
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    if parts.password or {"password", "service"} & query.keys():
        return None
    if any(environment.get(name) for name in _ELSEWHERE):
        return None
    named = query.get("passfile") or environment.get("PGPASSFILE")
    try:
        text = _read(Path(named) if named else Path.home() / ".pgpass")
        user = unquote(parts.username or "") or query.get("user") or environment.get("PGUSER")
        user = user or getpass.getuser()
    except (OSError, KeyError, RuntimeError, UnicodeError):
        return None
    database = unquote(parts.path[1:]) or query.get("dbname") or query.get("database")
    database = database or environment.get("PGDATABASE") or user
    names = {host or "localhost"} | ({"localhost"} if (host or "").startswith("/") else set())
    return find(text, names, str(port or 5432), database, user)


def find(text: str, hosts: set[str], port: str, database: str, user: str) -> str | None:
    """Give the password of the first line that fits; `hosts` are names of the same one."""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        fields = _fields(line)
        wanted = (hosts, {port}, {database}, {user})
        if len(fields) >= 5 and all(
            field == "*" or field in names for field, names in zip(fields, wanted, strict=False)
        ):
            return fields[4]
    return None


def _fields(line: str) -> list[str]:
    """Split at colons; a backslash takes its meaning from what follows."""
    fields, escaped = [""], False
    for sign in line:
        if escaped or sign not in "\\:":
            fields[-1] += sign
            escaped = False
        elif sign == "\\":
            escaped = True
        else:
            fields.append("")
    return fields


def _read(path: Path) -> str:
    """Read it if it is a file that only its owner may read; as in libpq, any other is ignored."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
        return ""
    return path.read_text()
