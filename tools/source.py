"""The Python files that the rules of the house are about, read once each."""

import re
from dataclasses import dataclass
from pathlib import Path

LEFT_OUT = re.compile(r"_pb2(_grpc)?\.py$|/migrations/versions/|/node_modules/|/\.")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path below the repository, and its text."""

    path: str
    text: str

    @property
    def lines(self) -> int:
        """How many lines it has."""
        return len(self.text.splitlines())


def sources(root: Path, folders: tuple[str, ...]) -> list[Source]:
    """Read the Python files below `folders`, without what is left out."""
    paths = (path for folder in folders for path in sorted((root / folder).rglob("*.py")))
    named = ((path.relative_to(root).as_posix(), path) for path in paths)
    return [Source(name, path.read_text()) for name, path in named if not LEFT_OUT.search(name)]
