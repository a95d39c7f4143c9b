"""Owns where the embedded PostgreSQL lives: its folder, its socket, whom it runs as.

It is `postgres` below the data directory. As root, when `nobody` cannot reach that, it is a
folder of its own below /var/lib and `postgres` a link to it, so that the place stays the same
whatever becomes of modes later. The mode of no folder is changed that was not made here.
"""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mailproxy_server.app import binaries
from mailproxy_server.app.owner import Owner, nobody
from mailproxy_server.app.refusal import Refusal

_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET = 107  # bytes of a Unix socket's path
_FALLBACK = Path("/var/lib")


@dataclass(frozen=True, slots=True)
class Place:
    """Where everything of one embedded PostgreSQL is."""

    folder: Path  # 0700, PostgreSQL's own; `data` is below it
    sockets: Path  # 0700 too; almost always the same folder
    programs: Path
    log: Path  # in the data directory
    owner: Owner | None  # None: ourselves

    @property
    def data(self) -> Path:
        """The cluster."""
        return self.folder / "data"


def prepare(data_dir: Path) -> Place:
    """Find or make the place below `data_dir`, which exists; raises Refusal."""
    link = data_dir / "postgres"
    if not os.path.lexists(link):
        _make(link)
    folder = link.resolve()
    owner = _owner_of(folder)
    return Place(
        folder=folder,
        sockets=_sockets(folder, owner),
        programs=binaries.programs(owner, folder.parent),
        log=data_dir / "postgres.log",
        owner=owner,
    )


def _make(link: Path) -> None:
    if os.geteuid() != 0:
        link.mkdir(mode=0o700)
        return
    owner = nobody()
    if owner.may_execute(link.parent):
        _make_private(link, owner)
        return
    home = _FALLBACK / f"mailproxy-{_digest(link.parent)}"
    if not home.exists():
        home.mkdir()
        home.chmod(0o711)
    if not (home / "postgres").exists():
        _make_private(home / "postgres", owner)
    link.symlink_to(home / "postgres")


def _make_private(folder: Path, owner: Owner) -> None:
    """Make `folder` whole or not at all, so that a crash leaves none with a wrong owner."""
    fresh = folder.with_name(f".{folder.name}.new")
    if not fresh.exists():
        fresh.mkdir(mode=0o700)
    os.chown(fresh, owner.uid, owner.gid)
    fresh.rename(folder)


def _owner_of(folder: Path) -> Owner | None:
    try:
        found = folder.stat()
    except OSError as error:
        raise Refusal(
            f"{folder}: {error.strerror}; it held the database. Bring it back, "
            "or choose another MAILPROXY_DATA_DIR"
        ) from error
    if found.st_uid == os.geteuid() != 0:
        return None
    owner = Owner(found.st_uid, found.st_gid)
    if os.geteuid() != 0:
        raise Refusal(
            f"{folder} belongs to user {owner.uid}: run as that user or as root, "
            "or choose another MAILPROXY_DATA_DIR"
        )
    if owner.uid == 0:
        raise Refusal(f"{folder} belongs to root, as whom PostgreSQL refuses to run: chown it")
    if not owner.may_execute(folder):
        raise Refusal(
            f"user {owner.uid}, as whom PostgreSQL runs, cannot reach {folder}: "
            "open the folders above it (chmod o+x), or choose another MAILPROXY_DATA_DIR"
        )
    return owner


def _sockets(folder: Path, owner: Owner | None) -> Path:
    if len(os.fsencode(folder / _SOCKET)) <= _LONGEST_SOCKET:
        return folder
    above = Path("/run") if owner else Path(os.environ.get("XDG_RUNTIME_DIR", "/tmp"))  # noqa: S108
    short = above / f"mailproxy-{_digest(folder)}"
    uid = owner.uid if owner else os.geteuid()
    if not short.exists():
        if owner:
            _make_private(short, owner)
        else:
            short.mkdir(mode=0o700)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or found.st_mode & 0o077:
        raise Refusal(
            f"{short} is not a folder of ours: remove it, or choose a shorter data folder"
        )
    return short


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
