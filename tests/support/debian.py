"""Programs that come from a Debian package: there, or the test says what to install.

Under CI=true a missing one fails the test, or a promise could go unproved in silence;
elsewhere it is skipped.
"""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin"))
_SIGNS = {
    "chromium": "chromium",
    "faketime": "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "docker-compose": "docker-compose",
    "exim4-daemon-light": "/opt/exim4/usr/sbin/exim4",
    "nodejs": "node",
    "npm": "npm",
    "pgbouncer": "pgbouncer",
    "postfix": "smtp-sink",
    "postgresql-15": "/usr/lib/postgresql/15/bin/postgres",
    "prometheus": "promtool",
    "systemd": "systemd-analyze",
}
"""A program by which each package is known to be there. Exim's conflicts with Postfix's, so it is
unpacked: .ci/run shows how."""


def require(package: str) -> str:
    """Give the path of the package's program; fails or skips the test when it is not there."""
    sign = _SIGNS[package]
    found = sign if Path(sign).is_file() else shutil.which(sign, path=_PATH)
    if found is None:
        lacking(f"{_SIGNS[package]} is not here: apt-get install {package}")
    return found


def require_root(why: str) -> None:
    """Fail or skip the test when it is not run as root."""
    if os.geteuid() != 0:
        lacking(f"not run as root: {why}")


def lacking(words: str) -> NoReturn:
    """Fail under CI, where all is to be proved; skip elsewhere."""
    if os.environ.get("CI") == "true":
        pytest.fail(words, pytrace=False)
    pytest.skip(words)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Honour the markers needs_debian and needs_root."""
    if item.get_closest_marker("needs_root"):
        require_root("it is about root")
    for marker in item.iter_markers("needs_debian"):
        for package in marker.args:
            require(package)
