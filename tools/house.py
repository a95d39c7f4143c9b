"""Checks the rules of the house that no other tool knows: sizes, rooms, and purity.

Reads source and changes nothing. Generated stubs and migrations are left out. Each finding is a
line `file:line: what. Remedy`.

    python -m tools.house [folder of the repository]
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tools.purity import impure_modules
from tools.source import Source, sources

FILE_LINES = 400
FUNCTION_LINES = 60
PRODUCT = ("server", "clients", "tools")
TESTS = ("tests",)
PACKAGE = "server/mailproxy_server"
# Read by composition alone and imported by several floors: on no floor themselves.
BESIDE_THE_FLOORS = frozenset({"__init__", "settings", "telemetry"})


def long_files(files: list[Source]) -> Iterator[str]:
    """Find the files above the limit."""
    for file in files:
        if file.lines > FILE_LINES:
            yield (
                f"{file.path}:1: {file.lines} lines, at most {FILE_LINES}. Does it have one duty?"
            )


def long_functions(file: Source) -> Iterator[str]:
    """Find the functions above the limit, counted from `def` to the last line."""
    for node in ast.walk(ast.parse(file.text, file.path)):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > FUNCTION_LINES:
            yield (
                f"{file.path}:{node.lineno}: {node.name} has {length} lines, at most "
                f"{FUNCTION_LINES}. Name its steps."
            )


def homeless_rooms(root: Path) -> Iterator[str]:
    """Find modules of the server that stand on no floor, so that no import rule binds them."""
    contracts = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = " ".join(layer for each in contracts["contracts"] for layer in each.get("layers", ()))
    floors = set(re.findall(r"mailproxy_server\.(\w+)", layers)) | BESIDE_THE_FLOORS
    for path in sorted((root / PACKAGE).iterdir()):
        is_room = (path / "__init__.py").exists() or path.suffix == ".py"
        if is_room and path.stem not in floors:
            yield (
                f"{PACKAGE}/{path.name}: stands on no floor. "
                "Name it in pyproject.toml's import-linter layers."
            )


def findings(root: Path) -> Iterator[str]:
    """Give everything that is against the rules in the repository at `root`."""
    product, tests = sources(root, PRODUCT), sources(root, TESTS)
    for group in (product, tests):
        yield from long_files(group)
    for file in product + tests:
        yield from long_functions(file)
    yield from impure_modules(product)
    yield from homeless_rooms(root)


def main(arguments: list[str]) -> int:
    """Print the findings; 1 when there are any."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    found = list(findings(root))
    for finding in found:
        print(finding)
    sizes = [file.lines for file in sources(root, PRODUCT) if file.lines]
    longest = max(sizes, default=0)
    print(f"house: {len(sizes)} files, longest {longest} lines; {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
