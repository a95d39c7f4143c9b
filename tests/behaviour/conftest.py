"""Fixtures of the behaviour tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.postgres import open_folder
from tests.support.serving import ended_after


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory not made yet, below a folder that everybody may pass through."""
    with open_folder() as folder, ended_after(folder / "data"):
        yield folder / "data"


@pytest.fixture(scope="module")
def lasting_data_dir() -> Iterator[Path]:
    """One that a file's tests use one after the other."""
    with open_folder() as folder, ended_after(folder / "data"):
        yield folder / "data"
