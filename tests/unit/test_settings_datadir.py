"""The data directory: where it is, what is made closed, what is written once."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from mailproxy_server.app.datadir import DataDir, locate
from mailproxy_server.app.diagnosis import examine
from mailproxy_server.app.refusal import Refusal
from mailproxy_server.settings import Settings
from pydantic import SecretStr


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_setting_decides_where_it_is() -> None:
    assert locate(Path("/a/b"), {}) == Path("/a/b")


@contextlib.contextmanager
def ordinary() -> Iterator[None]:
    """Be an ordinary user for as long as the block, also where root runs the tests."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


def test_an_ordinary_user_s_is_below_the_state_home() -> None:
    with ordinary():
        assert locate(None, {"XDG_STATE_HOME": "/s"}) == Path("/s/mailproxy")
        assert locate(None, {"XDG_STATE_HOME": "relative"}).is_absolute()


async def test_diagnose_looks_at_its_disk_also_where_no_setting_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    (tmp_path / "mailproxy").mkdir()
    away = Settings(database_url=SecretStr("postgresql://nobody@127.0.0.1:1/none"))
    found = [each async for each in examine(away)]
    disks = [each.words for each in found if each.subject == "disk"]
    assert any(words.endswith(str(tmp_path / "mailproxy")) for words in disks), disks
    assert found[-1].fault == "database_away"


@pytest.mark.needs_root
def test_root_s_is_below_var_lib() -> None:
    assert locate(None, {"XDG_STATE_HOME": "/s"}) == Path("/var/lib/mailproxy")


def test_what_is_made_is_closed_and_what_was_there_keeps_its_mode(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    there.chmod(0o755)
    DataDir.open(there / "a/b")
    assert mode(there) == 0o755
    assert mode(there / "a/b") == (0o711 if os.geteuid() == 0 else 0o700)
    DataDir.open(there)
    assert mode(there) == 0o755


def test_the_key_is_made_once_and_read_again(tmp_path: Path) -> None:
    key = DataDir(tmp_path).secret_key()
    assert len(key) == 32
    assert DataDir(tmp_path).secret_key() == key
    assert mode(tmp_path / "secret.key") == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]


def test_a_broken_key_is_refused_and_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret.key").write_text("broken")
    with pytest.raises(Refusal, match="32 bytes in base64"):
        DataDir(tmp_path).secret_key()
    assert (tmp_path / "secret.key").read_text() == "broken"


def test_the_token_is_closed_to_others_and_replaces_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("older")
    path = DataDir(tmp_path).write_token("newer")
    assert path.read_text() == "newer\n"
    assert mode(path) == 0o600


def test_a_folder_in_use_is_refused_until_its_user_lets_go(tmp_path: Path) -> None:
    first = DataDir(tmp_path).lock(0)
    with pytest.raises(Refusal, match=f"process {os.getpid()}"):
        DataDir(tmp_path).lock(5)
    os.close(first)
    os.close(DataDir(tmp_path).lock(0))


def test_a_file_in_the_way_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refusal, match="MAILPROXY_DATA_DIR"):
        DataDir.open(tmp_path / "file/below")
