"""Holds modules to their word: one whose docstring says "Pure" decides, and reaches for nothing.

Time, randomness and ids are its arguments, and it never awaits. A room whose own docstring says
so speaks for all of its modules.
"""

import ast
import re
from collections.abc import Iterator

from tools.source import Source

# What a module whose docstring says "Pure" may neither import nor call.
IMPURE = frozenset({"asyncio", "sqlalchemy", "asyncpg", "grpc", "aiosmtplib", "random", "time"})
IMPURE |= {"secrets", "uuid.uuid1", "uuid.uuid4", "uuid.uuid7"}
CLOCKS = frozenset({"now", "utcnow", "today"})
PURE = re.compile(r"\bPure[.:;]")
# Their duty is to read what a library says: its exceptions, its status.
TRANSLATORS = {
    "server/mailproxy_server/smtp/faults.py": {"aiosmtplib"},
    "clients/python/src/mailproxy/calls.py": {"grpc"},
    "clients/python/src/mailproxy/errors.py": {"grpc"},
    "clients/python/src/mailproxy/resume.py": {"grpc"},
}


def impure_modules(files: list[Source]) -> Iterator[str]:
    """Find what modules do that say they are pure."""
    rooms = {
        file.path.removesuffix("/__init__.py")
        for file in files
        if file.path.endswith("/__init__.py") and says_pure(file)
    }
    for file in files:
        if file.path.rpartition("/")[0] in rooms or says_pure(file):
            yield from impurities(file)


def says_pure(file: Source) -> bool:
    """Whether the file's docstring says that it is pure."""
    return bool(PURE.search(ast.get_docstring(ast.parse(file.text, file.path)) or ""))


def impurities(file: Source) -> Iterator[str]:
    """Give each thing in a pure module that it may not do."""
    allowed = TRANSLATORS.get(file.path, set())
    for node in ast.walk(ast.parse(file.text, file.path)):
        if (found := impurity(node)) and found not in allowed:
            at = getattr(node, "lineno", 1)
            yield f"{file.path}:{at}: a pure module uses {found}. Let it be an argument."


def impurity(node: ast.AST) -> str | None:
    """Name what a node imports, awaits or reads that is not pure, if it does."""
    match node:
        case ast.Import(names):
            return next(iter({alias.name.split(".")[0] for alias in names} & IMPURE), None)
        case ast.ImportFrom(str(module), names):
            full = {f"{module}.{alias.name}" for alias in names}
            return next(iter((full | {module.split(".")[0]}) & IMPURE), None)
        case ast.AsyncFunctionDef():
            return "async def"
        case ast.Call(ast.Attribute(attr=name)) if name in CLOCKS:
            return f"a clock ({name})"
    return None
