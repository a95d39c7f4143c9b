"""A run works for root and for an ordinary user, and changes nothing that it did not make."""

import os
import stat
from pathlib import Path

import pytest

from tests.support.people import ordinary_user
from tests.support.serving import Run, left


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_ordinary_user_needs_nothing_but_a_folder(data_dir: Path) -> None:
    person = ordinary_user()
    home = data_dir.with_name("home")
    home.mkdir(mode=0o700)
    if person.uid is not None:
        os.chown(home, person.uid, -1)
    run = Run(home / "state", python=person.python, user=person.uid).ready()
    assert mode(home / "state") == 0o700
    assert mode(home / "state/secret.key") == 0o600
    assert run.stop() == 0
    assert not left(home / "state")


@pytest.mark.needs_root
def test_root_may_keep_its_data_in_a_closed_home_whose_mode_stays(data_dir: Path) -> None:
    home = data_dir.with_name("home")
    home.mkdir(mode=0o700)
    run = Run(home / "state").ready()
    place = (home / "state/postgres").resolve()
    try:
        assert place.is_relative_to("/var/lib")
        assert str(place) in run.err
        assert mode(home) == 0o700
        assert mode(place) == 0o700
        assert run.stop() == 0
        again = Run(home / "state").ready()
        assert (home / "state/postgres").resolve() == place
        assert again.stop() == 0
    finally:
        _remove(place.parent)


def _remove(folder: Path) -> None:
    import shutil

    assert folder.name.startswith("mailproxy-")
    shutil.rmtree(folder)
