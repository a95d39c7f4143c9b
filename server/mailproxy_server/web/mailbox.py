"""Mail that the demo's inbox caught, as files: written by its process, shown by the page.

A file is one line of JSON about the envelope, and the message. The newest KEPT of them stay.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

KEPT = 200
FOLDER = "inbox"
"""Below the data directory."""


@dataclass(frozen=True, slots=True)
class Caught:
    """A message, by the name of its file."""

    name: str
    mail_from: str
    rcpt_to: Sequence[str]
    received_at: datetime
    octets: bytes


def keep(folder: Path, mail_from: str, rcpt_to: Sequence[str], octets: bytes) -> None:
    """Write a message down, and remove the oldest past KEPT; a full disk is no fault of it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    now = datetime.now(UTC)
    envelope = {"from": mail_from, "to": list(rcpt_to), "at": now.isoformat()}
    name = f"{int(now.timestamp() * 1000):014d}-{secrets.token_hex(4)}"
    part = folder / f".{name}"
    part.write_bytes(json.dumps(envelope).encode() + b"\n" + octets)
    part.rename(folder / name)
    for old in names(folder)[KEPT:]:
        (folder / old).unlink(missing_ok=True)


def names(folder: Path) -> list[str]:
    """Give the names of all, the newest first."""
    if not folder.is_dir():
        return []
    return sorted((each.name for each in folder.iterdir() if is_name(each.name)), reverse=True)


def is_name(text: str) -> bool:
    """Whether it can be the name of a message: nothing else leads out of the folder, or to what
    is half written."""
    return len(text) == 23 and text.isascii() and text.replace("-", "").isalnum()


def read(folder: Path, name: str) -> Caught | None:
    """Read one; None when there is none of this name."""
    if not is_name(name):
        return None
    try:
        line, _, octets = (folder / name).read_bytes().partition(b"\n")
        envelope: dict[str, Any] = json.loads(line)
    except (OSError, ValueError):
        return None
    at = datetime.fromisoformat(envelope["at"])
    return Caught(name, envelope["from"], tuple(envelope["to"]), at, octets)
