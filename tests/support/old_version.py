"""Older versions of the server, taken out of git, to run beside today's.

    old = old_version(BEFORE[0], folder / "old")
    async with replica(folder, url, variables=old.variables): ...

They run with today's interpreter and today's dependencies: only the code is old.
"""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.debian import lacking
from tests.support.serving import ROOT

BEFORE = ("8d99d2d",)
"""Commits from which people upgrade, each the last one before a change of the schema. Whoever
changes the schema adds the commit before; none is taken out before there is a release."""
_PARTS = ("server", "clients/python/src")


@dataclass(frozen=True)
class OldVersion:
    """The code of one commit, below `folder`."""

    folder: Path

    @property
    def variables(self) -> Mapping[str, str]:
        """What a process needs in its environment to run this code instead of today's."""
        return {"PYTHONPATH": os.pathsep.join(str(self.folder / part) for part in _PARTS)}

    @property
    def schema(self) -> str:
        """The newest revision that it knows."""
        return max(name.partition("_")[0] for name in revisions_of(self.folder))


def revisions_of(root: Path) -> Mapping[str, bytes]:
    """Give the revisions of the schema in a checkout, by the names of their files."""
    versions = root / "server/mailproxy_server/queue/migrations/versions"
    return {one.name: one.read_bytes() for one in versions.glob("[0-9]*_*.py")}


def old_version(commit: str, folder: Path) -> OldVersion:
    """Unpack a commit's code into `folder`; fails or skips the test where git does not have it."""
    git = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "archive", commit, *_PARTS]
    try:
        packed = subprocess.run(git, capture_output=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"").decode().strip() or str(error)
        lacking(f"{commit} is not here, as a clone of the whole history has it: {said}")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    old = OldVersion(folder)
    _prove(old)
    return old


def _prove(old: OldVersion) -> None:
    """Fail unless the interpreter finds this code, before that of the environment."""
    program = "import mailproxy, mailproxy_server as s; print(s.__file__, mailproxy.__file__)"
    found = subprocess.run(
        [sys.executable, "-P", "-c", program],
        capture_output=True, text=True, check=True, cwd="/", env=dict(old.variables),
    )  # fmt: skip
    assert all(one.startswith(f"{old.folder}/") for one in found.stdout.split()), found.stdout
