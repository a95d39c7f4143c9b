"""The processes of a server that the demo started, so that it can kill them and see no other."""

import os
import signal
from contextlib import suppress
from pathlib import Path


def descendants(root: int) -> list[int]:
    """Give the pids of all processes below `root`, found by /proc."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, todo = [], [root]
    while todo:
        children = parents.get(todo.pop(), [])
        found += children
        todo += children
    return found


def role(pid: int) -> str:
    """Give what a process of the server is: "front", "dispatcher", "postgres" or ""."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return ""
    if b"front" in words:
        return "front"
    if b"dispatcher" in words:
        return "dispatcher"
    return "postgres" if words[0].endswith(b"/postgres") else ""


def kill(pids: list[int]) -> None:
    """End processes at once; those that are gone already are passed over."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
