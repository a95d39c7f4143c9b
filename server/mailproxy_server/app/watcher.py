"""Runs PostgreSQL as a child of its own and stops it once nobody needs it any more.

A program by itself (stdlib only), started by `embedded` in a session of its own, so that Ctrl-C
does not reach PostgreSQL before the server has drained. It holds the read end of a pipe whose
write ends are the supervisor's and its children's: when the last of them is gone, however it
went, the pipe ends and PostgreSQL is shut down. It ends when PostgreSQL has ended.

Arguments: fd of the pipe, uid and gid to run as (-1: ours), the cluster's folder, the socket's
folder, the command.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

TICK = 0.2  # seconds between looks at PostgreSQL
PATIENCE = 60.0  # seconds that a fast shutdown may take before it is made an immediate one
_PR_SET_PDEATHSIG = 1


def postmaster(data: Path) -> int | None:
    """Give the pid of the PostgreSQL that runs on `data`, or None.

    A pid in postmaster.pid proves nothing: it may be a zombie's or reused. A process of
    PostgreSQL whose working directory is the cluster is alive and the right one.
    """
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if _works_in(str(pid), data) else None


def clear(data: Path, sockets: Path) -> None:
    """Remove what a killed PostgreSQL left: backends still at work, and the files with its pid.

    PostgreSQL takes such a file for a running server when the pid is a zombie's or reused.
    """
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and _works_in(entry.name, data):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)
    for file in (data / "postmaster.pid", *sockets.glob(".s.PGSQL.*")):
        file.unlink(missing_ok=True)


def _works_in(pid: str, data: Path) -> bool:
    try:
        program = Path(f"/proc/{pid}/exe").readlink().name
        return program.startswith("postgres") and Path(f"/proc/{pid}/cwd").readlink() == data
    except OSError:
        return False  # gone, another user's, or a zombie: those have neither


def _end_with_parent() -> None:
    """Have the kernel shut PostgreSQL down should this program itself be killed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _start(uid: int, gid: int, command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603
        command,
        stdin=subprocess.DEVNULL,
        cwd="/",
        user=None if uid < 0 else uid,
        group=None if uid < 0 else gid,
        extra_groups=None if uid < 0 else [],
        preexec_fn=_end_with_parent,  # one thread, and nothing else can do it
    )


def watch(pipe: int, uid: int, gid: int, data: Path, sockets: Path, command: list[str]) -> None:
    """Run until PostgreSQL has ended, by itself or because the pipe did."""
    pid, child = postmaster(data), None
    if pid is None:
        clear(data, sockets)
        child = _start(uid, gid, command)
        pid = child.pid
    asked_at = None
    while child.poll() is None if child else postmaster(data) == pid:
        if asked_at is None:
            if select.select([pipe], [], [], TICK)[0]:
                asked_at = time.monotonic()
                os.kill(pid, signal.SIGINT)
        else:
            time.sleep(TICK / 10)
            if time.monotonic() - asked_at > PATIENCE:
                os.kill(pid, signal.SIGQUIT)
                asked_at = time.monotonic()


if __name__ == "__main__":
    for unheeded in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(unheeded, lambda *_: None)  # SIG_IGN would pass on to PostgreSQL
    fd, uid, gid = map(int, sys.argv[1:4])
    watch(fd, uid, gid, Path(sys.argv[4]), Path(sys.argv[5]), sys.argv[6:])
