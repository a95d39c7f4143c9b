"""Owns the data directory: where it is, its lock, and the two small files kept in it.

What is made here is closed to others; the mode of nothing that exists is changed. As root the
folder lets others pass through (0711, its files 0600), so that PostgreSQL's user reaches its own
folder below. All refusals are one line with the remedy.
"""

import base64
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Mapping
from pathlib import Path

from mailproxy_server.app.refusal import Refusal
from mailproxy_server.settings import parse_key

TOKEN = "token"  # noqa: S105  # a file's name
KEY = "secret.key"


def locate(chosen: Path | None, environment: Mapping[str, str] = os.environ) -> Path:
    """Give the data directory's path; `chosen` is the setting."""
    if chosen is not None:
        return Path.cwd() / chosen.expanduser()
    if os.geteuid() == 0:
        return Path("/var/lib/mailproxy")
    state = Path(environment.get("XDG_STATE_HOME", ""))
    base = state if state.is_absolute() else Path("~/.local/state").expanduser()
    return base / "mailproxy"


class DataDir:
    """An existing data directory that we may write to."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def open(cls, path: Path) -> "DataDir":
        """Open the folder at `path`, making it and what is missing above it; raises Refusal."""
        try:
            _make(path, 0o711 if os.geteuid() == 0 else 0o700)
        except OSError as error:
            raise _not_ours(path, error) from error
        if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise _not_ours(path, PermissionError(0, "no permission to write to it"))
        return cls(path)

    def lock(self, patience: float) -> int:
        """Take the folder for this run and give the fd that holds it, to be kept open.

        Children and PostgreSQL's watcher hold it too. When the run that holds it has lost its
        supervisor, waits up to `patience` seconds for the rest of it to end; raises Refusal when
        it is alive, or has not ended by then.
        """
        fd = self._open_lock()
        deadline = time.monotonic() + patience
        while not _locked(fd):
            pid = os.pread(fd, 20, 0).decode(errors="replace").strip()
            if _alive(pid) or time.monotonic() > deadline:
                os.close(fd)
                raise Refusal(
                    f"another mailproxy (process {pid or 'unknown'}) runs on {self.path}: "
                    "stop it, or set MAILPROXY_DATA_DIR to another folder"
                )
            time.sleep(0.05)
        os.ftruncate(fd, 0)
        os.pwrite(fd, str(os.getpid()).encode(), 0)
        return fd

    def secret_key(self) -> bytes:
        """Give the 32 bytes that encrypt secrets at rest, making them the first time."""
        path = self.path / KEY
        if not path.exists():
            fresh = base64.b64encode(secrets.token_bytes(32)).decode()
            with contextlib.suppress(FileExistsError):
                self._write_once(path, fresh)
        try:
            return parse_key(path.read_text())
        except (OSError, ValueError) as error:
            words = error.strerror if isinstance(error, OSError) else error
            raise Refusal(
                f"{path}: {words}; without it stored SMTP passwords cannot be read: "
                "bring it back, or set MAILPROXY_SECRET_KEY"
            ) from error

    def write_token(self, token: str) -> Path:
        """Write the first token, replacing one of an earlier database; gives the file's path."""
        path = self.path / TOKEN
        fresh = self._write(token)
        fresh.replace(path)
        return path

    def _write_once(self, path: Path, text: str) -> None:
        fresh = self._write(text)
        try:
            os.link(fresh, path)
        finally:
            fresh.unlink()

    def _write(self, text: str) -> Path:
        fresh = self.path / f".{secrets.token_hex(8)}.new"
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(fd)
        return fresh

    def _open_lock(self) -> int:
        path = self.path / "lock"
        try:
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _not_ours(path, error) from error


def _make(path: Path, mode: int) -> None:
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir()
            folder.chmod(mode)  # ours: no umask shall open or close it


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _alive(pid: str) -> bool:
    """Tell whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{int(pid)}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, ValueError, IndexError):
        return False


def _not_ours(path: Path, error: OSError) -> Refusal:
    return Refusal(
        f"{path}: {(error.strerror or str(error)).lower()}: "
        "give this user the folder, or set MAILPROXY_DATA_DIR to one it may write to"
    )
