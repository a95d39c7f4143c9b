"""The documentation says what the code says: generated parts, links, reasons."""

import re
from pathlib import Path

import pytest
from mailproxy_server.rpc.status import CODES

from tools.pages import PARTS, written

ROOT = Path(__file__).parents[2]
PAGES = [
    path.relative_to(ROOT).as_posix()
    for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "clients/python/README.md")
]


@pytest.mark.parametrize("name", PARTS)
def test_a_generated_part_is_not_stale(name: str) -> None:
    text = (ROOT / PARTS[name][0]).read_text()
    assert written(name, text) == text, "run: .venv/bin/python -m tools.pages"


def test_every_reason_is_told_with_its_status() -> None:
    page = (ROOT / "docs/errors.md").read_text()
    told = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", page, re.MULTILINE))
    assert told == {reason: code.name for reason, code in CODES.items()}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    path = ROOT / page
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#[^)]*)?\)", path.read_text())
    missing = [link for link in links if link and not (path.parent / link).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_every_test_that_is_named_exists(page: str) -> None:
    tests = {path.stem: path.read_text() for path in ROOT.glob("tests/*/test_*.py")}
    everything = "".join(tests.values())
    named = re.findall(r"`(test_\w+[a-z])`", (ROOT / page).read_text())
    missing = [each for each in named if each not in tests and f"def {each}(" not in everything]
    assert not missing
