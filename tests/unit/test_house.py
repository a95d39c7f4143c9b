import textwrap
from pathlib import Path

import pytest

from tools.house import findings

PYPROJECT = """
[[tool.importlinter.contracts]]
layers = ["mailproxy_server.cli", "mailproxy_server.app : mailproxy_server.demo"]
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    write(tmp_path, "server/mailproxy_server/__init__.py", "")
    write(tmp_path, "server/mailproxy_server/app/__init__.py", "")
    return tmp_path


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(textwrap.dedent(text))


def test_a_tidy_house_has_no_findings(house: Path) -> None:
    write(house, "server/mailproxy_server/app/compose.py", "def restore(commonly): ...\n")
    assert list(findings(house)) == []


def test_a_file_above_the_limit_is_named(house: Path) -> None:
    write(house, "tests/a.py", "\n" * 20)
    write(house, "tests/b.py", "\n" * 20)
    write(house, "tests/long.py", "\n" * 401)
    assert [each.split(".")[0] for each in findings(house)] == ["tests/long"]


@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_a_function_above_the_limit_is_named_with_its_line(house: Path, keyword: str) -> None:
    body = "    pass\n"
    write(house, "tools/a.py", f"\n{keyword} fits():\n" + body * 59)
    write(house, "tools/b.py", f"\n{keyword} longer():\n" + body * 60)
    assert [each.partition(" has")[0] for each in findings(house)] == ["tools/b.py:2: longer"]


def test_stubs_and_migrations_are_left_out(house: Path) -> None:
    write(house, "clients/a_pb2.py", "\n" * 500)
    write(house, "server/mailproxy_server/app/migrations/versions/0001_all.py", "\n" * 500)
    assert list(findings(house)) == []


@pytest.mark.parametrize("room", ["attic.py", "cellar/__init__.py"])
def test_a_room_on_no_floor_is_named(house: Path, room: str) -> None:
    write(house, f"server/mailproxy_server/{room}", "x = 1\n")
    (finding,) = findings(house)
    assert "stands on no floor" in finding


@pytest.mark.parametrize(
    "line",
    [
        "import asyncio",
        "from grpc.aio import Channel",
        "import time, re",
        "from uuid import uuid4",
        "async def wait(): ...",
        "from datetime import datetime\nat = datetime.now()",
    ],
)
def test_a_module_that_says_pure_is_held_to_it(house: Path, line: str) -> None:
    write(house, "server/mailproxy_server/app/a.py", f'"""Decides. Pure."""\n{line}\n')
    write(house, "server/mailproxy_server/app/b.py", f'"""Decides."""\n{line}\n')
    (finding,) = findings(house)
    assert finding.startswith("server/mailproxy_server/app/a.py:")


def test_a_pure_room_speaks_for_its_modules(house: Path) -> None:
    write(house, "server/mailproxy_server/app/__init__.py", '"""Rules. Pure: no clock."""\n')
    write(house, "server/mailproxy_server/app/a.py", "import random\n")
    assert len(list(findings(house))) == 1


def test_a_pure_module_may_name_times_and_ids(house: Path) -> None:
    text = '"""Pure."""\nfrom datetime import datetime\nfrom uuid import UUID\n'
    write(house, "server/mailproxy_server/app/a.py", text)
    assert list(findings(house)) == []
