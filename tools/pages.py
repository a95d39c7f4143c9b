"""Writes the parts of the documentation that repeat what the code says: settings, and states.

Each stands in its page between two comments that name it. `python -m tools.pages` writes them;
tests/unit/test_docs.py fails when one is stale.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from mailproxy_server.mail.delivery import TRANSITIONS, State
from mailproxy_server.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024


def settings() -> Iterator[str]:
    """Give the table of all settings."""
    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for name, field in Settings.model_fields.items():
        limits = {type(each).__name__.lower(): each for each in field.metadata}
        meaning = " ".join((field.description or "").split())
        if "ge" in limits:
            meaning += f" {said(limits['ge'].ge)} to {said(limits['le'].le)}."
        if get_origin(field.annotation) is Literal:
            meaning += f" One of {', '.join(get_args(field.annotation))}."
        yield f"| `{PREFIX}{name.upper()}` | {default(field.default)} | {meaning} |"


def default(given: Any) -> str:
    """Give a default as it would be set."""
    if given is None:
        return "unset"
    number, *unit = said(given).split(" ", 1)
    return " ".join([f"`{number.lower()}`", *unit])


def said(given: Any) -> str:
    """Give a value; whole numbers of MiB are told in MiB as well."""
    if isinstance(given, int) and given and given % MIB == 0:
        return f"{given} ({given // MIB} MiB)"
    return str(given)


def states() -> Iterator[str]:
    """Give the diagram of a delivery's states, as Mermaid draws it."""
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> QUEUED: submitted"
    yield "    QUEUED --> SENDING: claimed"
    yield "    SENDING --> QUEUED: released"
    for (before, event), after in TRANSITIONS.items():
        yield f"    {before.name} --> {after.name}: {event.name}"
    for state in State:
        if state.final:
            yield f"    {state.name} --> [*]"
    yield "```"


PARTS = {"settings": ("docs/operating.md", settings), "states": ("docs/states.md", states)}


def written(name: str, text: str) -> str:
    """Give a page's text with the part `name` as the code has it now."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->\n"
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    return before + begin + "\n".join(PARTS[name][1]()) + "\n" + end + after


def main() -> None:
    """Write all parts."""
    for name, (page, _) in PARTS.items():
        path = ROOT / page
        path.write_text(written(name, path.read_text()))


if __name__ == "__main__":
    main()
