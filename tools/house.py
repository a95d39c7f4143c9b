"""Checks the rules of the house that no other tool knows: sizes, names, rooms, and purity.

Reads source and changes nothing. Generated stubs and migrations are left out. Each finding is a
line `file:line: what. Remedy`.

    python -m tools.house [folder of the repository]
"""

import ast
import re
import statistics
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tools.purity import impure_modules
from tools.source import Source, sources

MEDIAN_LINES = 100
FILE_LINES = 250
FUNCTION_LINES = 40
BANNED = frozenset({"manager", "helper", "util", "common", "handler", "store"})
PRODUCT = ("server", "clients", "tools")
TESTS = ("tests",)
PACKAGE = "server/mailproxy_server"
# Read by composition alone and imported by several floors: on no floor themselves.
BESIDE_THE_FLOORS = frozenset({"__init__", "settings", "telemetry"})
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def banned_word(name: str) -> str | None:
    """Give the banned word in an identifier, alone or in the plural, in any spelling of words."""
    for word in (found.lower() for found in WORDS.findall(name)):
        for banned in BANNED:
            if word in {banned, banned + "s"}:
                return banned
    return None


def long_files(files: list[Source]) -> Iterator[str]:
    """Find the files above the limit, and a median above its own."""
    for file in files:
        if file.lines > FILE_LINES:
            yield (
                f"{file.path}:1: {file.lines} lines, at most {FILE_LINES}. Does it have one duty?"
            )
    filled = [file.lines for file in files if file.lines]
    if filled and statistics.median(filled) > MEDIAN_LINES:
        top = files[0].path.split("/")[0]
        yield (
            f"{top}: the median file has {statistics.median(filled):.0f} lines, at most "
            f"{MEDIAN_LINES}. Part the files that have two duties."
        )


def definitions(file: Source) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """Walk over the classes and functions of a file."""
    for node in ast.walk(ast.parse(file.text, file.path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


def long_functions(file: Source) -> Iterator[str]:
    """Find the functions above the limit, counted from `def` to the last line."""
    for node in definitions(file):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if not isinstance(node, ast.ClassDef) and length > FUNCTION_LINES:
            yield (
                f"{file.path}:{node.lineno}: {node.name} has {length} lines, at most "
                f"{FUNCTION_LINES}. Name its steps."
            )


def banned_names(file: Source) -> Iterator[str]:
    """Find banned words in the file's path and in the classes and functions that it defines."""
    for part in Path(file.path).with_suffix("").parts:
        if word := banned_word(part):
            yield f"{file.path}:1: the path says {word!r}. Name what it does."
    for node in definitions(file):
        if word := banned_word(node.name):
            yield f"{file.path}:{node.lineno}: {node.name} says {word!r}. Name what it does."


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
        yield from banned_names(file)
    yield from impure_modules(product)
    yield from homeless_rooms(root)


def main(arguments: list[str]) -> int:
    """Print the findings; 1 when there are any."""
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    found = list(findings(root))
    for finding in found:
        print(finding)
    sizes = [file.lines for file in sources(root, PRODUCT) if file.lines]
    print(
        f"house: {len(sizes)} files, median {statistics.median(sizes or [0]):.0f} lines, "
        f"longest {max(sizes, default=0)}; {len(found)} findings"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
