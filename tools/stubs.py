"""Owns the generated Python stubs: writes them, and tells when they are stale.

Runs in .venv-proto, where the generator's version is fixed: stubs from a newer one load only on
the newest protobuf. Nothing else writes to `clients/python/src/mailproxy/v1`.

    python tools/stubs.py generate
    python tools/stubs.py check
"""

import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "clients/python/src"
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generate(target: Path) -> None:
    """Write the stubs of every file of the contract below `target`."""
    protos = sorted((ROOT / "proto").rglob("*.proto"))
    plugins = Path(sys.executable).parent
    arguments = [
        "protoc",
        f"-I{ROOT / 'proto'}",
        f"-I{ROOT / 'third_party/googleapis'}",
        f"-I{resources.files('grpc_tools') / '_proto'}",
        f"--plugin={plugins / 'protoc-gen-mypy'}",
        f"--plugin={plugins / 'protoc-gen-mypy_grpc'}",
        f"--python_out={target}",
        f"--grpc_python_out={target}",
        f"--mypy_out=quiet:{target}",
        f"--mypy_grpc_out=quiet:{target}",
        *map(str, protos),
    ]
    if protoc.main(arguments) != 0:
        sys.exit("protoc failed; its message is above")


def stubs(folder: Path) -> dict[Path, str]:
    """Read every stub below `folder`, by its path there."""
    found = (path for pattern in PATTERNS for path in folder.rglob(pattern))
    return {path.relative_to(folder): path.read_text() for path in found}


def fresh() -> dict[Path, str]:
    """Generate the stubs aside and read them, so that a failing protoc leaves the old ones."""
    with tempfile.TemporaryDirectory() as scratch:
        generate(Path(scratch))
        return stubs(Path(scratch))


def main(arguments: list[str]) -> int:
    """Generate or check, as asked; 1 when a stub differs, is missing or is left over."""
    if arguments not in (["generate"], ["check"]):
        print(__doc__)
        return 2
    wanted, committed = fresh(), stubs(TARGET)
    paths = wanted.keys() | committed.keys()
    differing = sorted(path for path in paths if wanted.get(path) != committed.get(path))
    if arguments == ["check"]:
        for path in differing:
            print(f"{(TARGET / path).relative_to(ROOT)}: differs from the contract: make proto")
        return 1 if differing else 0
    for path in differing:
        (TARGET / path).unlink(missing_ok=True)
        if path in wanted:
            (TARGET / path).write_text(wanted[path])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
