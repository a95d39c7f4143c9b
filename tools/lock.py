"""Writes the lock files from the two pyproject.toml, with hashes and without any address.

requirements.lock is what `make run` installs, requirements-dev.lock what `make test` adds,
requirements-proto.lock the environment of the stub generator, and requirements-pip.lock the pip
that installs them all: the one that came with Python may be years old, and takes twice as long.
Pins that still fit are kept, unless `--upgrade` asks for the newest. uv resolves; it comes into an
environment that is thrown away, and asks the package index that pip is set up with.

    python tools/lock.py [--upgrade]
"""

import os
import shlex
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
UV = "uv==0.13.9"
OPTIONS = (
    "--universal",
    "--python-version=3.11",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-header",
    "--no-annotate",
    "--quiet",
)
# What building the editable installs needs, since they are made without build isolation.
BUILD = ("hatchling", "editables")
# Stubs made by 1.80 load on protobuf 6.33 to 7; those of newer ones on the newest only.
PROTO = ("grpcio-tools==1.80.0", "mypy-protobuf", "setuptools")


def install_uv(folder: Path) -> Path:
    """Make an environment with uv in `folder` and give uv's path."""
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/python"), "-m", "pip", "install", "--quiet", UV]
    subprocess.run(pip, check=True)
    return folder / "bin/uv"


def index_arguments() -> list[str]:
    """Say to uv which package index pip was set to, if any; it does not reach the lock files.

    Extra indexes are left out: what they hold has other hashes than what everybody installs.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in listed.splitlines():
        key, _, value = line.partition("=")
        if key in {"global.index-url", ":env:.index-url"}:
            return [f"--default-index={shlex.split(value)[0]}"]
    return []


def compile_lock(uv: Path, name: str, wanted: list[str], arguments: list[str]) -> None:
    """Resolve `wanted` into the lock file `name`."""
    command = [str(uv), "pip", "compile", "-", "--output-file", name, *OPTIONS, *arguments]
    subprocess.run(command, check=True, cwd=ROOT, input="\n".join(wanted), text=True)
    print(f"{name}: {(ROOT / name).read_text().count('==')} packages")


def main(arguments: list[str]) -> int:
    """Write the lock files."""
    server = tomllib.loads((ROOT / "pyproject.toml").read_text())
    client = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text())
    project = server["project"]
    ours = client["project"]["name"]
    run = [
        *(each for each in project["dependencies"] if not each.startswith(ours)),
        *(each for extra in project["optional-dependencies"].values() for each in extra),
        *client["project"]["dependencies"],
        *BUILD,
    ]
    os.environ["UV_NO_CONFIG"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        uv = install_uv(Path(scratch))
        shared = arguments + index_arguments()
        compile_lock(uv, "requirements.lock", run, shared)
        dev = [*server["dependency-groups"]["dev"]]
        compile_lock(uv, "requirements-dev.lock", dev, ["-c", "requirements.lock", *shared])
        compile_lock(uv, "requirements-proto.lock", list(PROTO), shared)
        compile_lock(uv, "requirements-pip.lock", ["pip"], shared)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
