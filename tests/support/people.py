"""Being an ordinary user in a test that runs as root."""

import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass

import pytest


@dataclass(frozen=True)
class Person:
    """A user, and an interpreter that the user can run; None: ourselves."""

    uid: int | None
    python: str


def ordinary_user() -> Person:
    """Give ourselves, or as root the user nobody; skips when nobody can run no Python."""
    if os.geteuid() != 0:
        return Person(None, sys.executable)
    uid = pwd.getpwnam("nobody").pw_uid
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, shutil.which(version, path=os.defpath)):
        if python and _can_run(python, uid):
            return Person(uid, python)
    pytest.skip(f"nobody can run neither {sys.executable} nor a system-wide {version}")


def _can_run(python: str, uid: int) -> bool:
    try:
        return not subprocess.run([python, "-c", ""], user=uid, cwd="/", check=False).returncode
    except PermissionError:
        return False
