"""Owns the question whom PostgreSQL runs as when we are root, since it refuses to run as root.

No user is made: it is `nobody`, or whoever owns an existing database folder. What that user
may reach is asked by trying, not computed from modes.
"""

import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from mailproxy_server.app.refusal import Refusal


class Identity(TypedDict):
    """Arguments of subprocess that change the user."""

    user: int | None
    group: int | None
    extra_groups: list[int] | None


@dataclass(frozen=True, slots=True)
class Owner:
    """A user by number; needs no entry in the user database beyond what initdb asks for."""

    uid: int
    gid: int

    def identity(self) -> Identity:
        """Give the arguments for subprocess to run something as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def may_execute(self, path: Path) -> bool:
        """Tell whether this user can execute the file, or enter the folder, at `path`."""
        try:
            asked = subprocess.run(  # noqa: S603
                ["test", "-x", str(path)],  # noqa: S607  # coreutils, wherever they are
                cwd="/",
                check=False,
                **self.identity(),
            )
        except PermissionError as error:
            raise Refusal(
                "as root PostgreSQL must run as another user, and this root may not change users "
                "(no CAP_SETUID): run as an ordinary user, or set MAILPROXY_DATABASE_URL"
            ) from error
        return asked.returncode == 0


def owned(owner: Owner | None) -> Identity:
    """Give the arguments for subprocess to run as `owner`, None being ourselves."""
    return owner.identity() if owner else {"user": None, "group": None, "extra_groups": None}


def nobody() -> Owner:
    """Give the user `nobody` of this machine."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError:
        raise Refusal(
            "as root PostgreSQL runs as the user nobody, and this machine has none: "
            "run as an ordinary user, or set MAILPROXY_DATABASE_URL"
        ) from None
    return Owner(entry.pw_uid, entry.pw_gid)
