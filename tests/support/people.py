"""Being an ordinary user in a test that runs as root."""

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass

from tests.support.debian import lacking


@dataclass(frozen=True)
class Person:
    """A user, and an interpreter that the user can run; None: ourselves."""

    uid: int | None
    python: str


def ordinary_user() -> Person:
    """Give ourselves, or as root the user nobody, who must be able to run a Python."""
    if os.geteuid() != 0:
        return Person(None, sys.executable)
    uid = pwd.getpwnam("nobody").pw_uid
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    pythons = [sys.executable, shutil.which(version, path=os.defpath)]
    usable = [python for python in pythons if python and _can_run(python, uid)]
    if not usable:
        lacking(f"nobody can run neither {sys.executable} nor a system-wide {version}")
    return Person(uid, usable[0])


def _can_run(python: str, uid: int) -> bool:
    try:
        return not subprocess.run([python, "-c", ""], user=uid, cwd="/", check=False).returncode
    except PermissionError:
        return False
