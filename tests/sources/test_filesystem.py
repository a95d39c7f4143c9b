"""Files below a root and nothing else, also while somebody swaps what is on the way."""

import os
import threading
from pathlib import Path

import pytest
from mailproxy.v1 import message_pb2
from mailproxy_server.content.sources.filesystem import Filesystem, open_beneath
from mailproxy_server.content.sources.source import Unfetchable

SECRET = b"root:x:0:0"


async def read(root: Path, path: Path | str) -> bytes:
    source = Filesystem([str(root)])
    async with source.open(message_pb2.Attachment(filesystem=str(path))) as pieces:
        return b"".join([piece async for piece in pieces])


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a file, beside a secret."""
    (tmp_path / "secret").write_bytes(SECRET)
    folder = tmp_path / "root"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_bytes(b"file" * 500_000)
    return folder


async def test_a_file_is_read_whole(root: Path) -> None:
    assert await read(root, root / "deep" / "file") == b"file" * 500_000


async def test_the_root_itself_may_be_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    assert len(await read(link, link / "deep" / "file")) == 2_000_000


async def test_links_are_not_followed(root: Path) -> None:
    (root / "out").symlink_to(root.parent / "secret")
    (root / "up").symlink_to("..")
    (root / "same").symlink_to("deep/file")
    (root / "folder").symlink_to("deep")
    for path in ("out", "up/secret", "same", "folder/file"):
        with pytest.raises(Unfetchable, match="link") as raised:
            await read(root, root / path)
        assert not raised.value.passing


async def test_what_is_no_regular_file_is_not_opened_for_long(root: Path) -> None:
    os.mkfifo(root / "pipe")
    with pytest.raises(Unfetchable, match="not a regular file"):
        await read(root, root / "pipe")
    with pytest.raises(Unfetchable, match="not a regular file"):
        await read(root, root / "deep")


async def test_what_is_not_there_fails_for_good(root: Path) -> None:
    for path in ("nowhere", "nowhere/file", "deep/file/file"):
        with pytest.raises(Unfetchable) as raised:
            await read(root, root / path)
        assert not raised.value.passing
    with pytest.raises(Unfetchable, match="below none"):
        await read(root, root.parent / "secret")


class Swapping:
    """Swaps a folder for a link out of the root, and back, as fast as it can."""

    def __init__(self, root: Path) -> None:
        self._here, self._away = root / "deep", root / "away"
        self._link = root / "link"
        (root.parent / "file").write_bytes(SECRET)
        self._link.symlink_to(root.parent)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._swap)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _swap(self) -> None:
        while not self._stop.is_set():
            self._here.rename(self._away)
            self._link.rename(self._here)
            self._here.rename(self._link)
            self._away.rename(self._here)


def heedless(root: Path, names: tuple[str, ...]) -> bytes:
    """The control: look first, then open."""
    path = root.joinpath(*names)
    if any(parent.is_symlink() for parent in (path, *path.parents[: len(names)])):
        raise Unfetchable("a link")
    return path.read_bytes()[:10]


def careful(root: Path, names: tuple[str, ...]) -> bytes:
    opened = open_beneath(str(root), names)
    try:
        return os.read(opened, 10)
    finally:
        os.close(opened)


def test_a_link_that_is_swapped_in_during_the_open_leads_nowhere(root: Path) -> None:
    """1,000 opens that succeed under way; the control looks before it opens, and is led out."""
    seen: dict[str, set[bytes]] = {"careful": set(), "heedless": set()}
    opened = 0
    with Swapping(root):
        while opened < 1000:
            try:
                seen["careful"].add(careful(root, ("deep", "file")))
            except Unfetchable:
                continue
            opened += 1
        for _ in range(200_000):
            try:
                seen["heedless"].add(heedless(root, ("deep", "file")))
            except (Unfetchable, OSError):
                continue
            if SECRET in seen["heedless"]:
                break
    assert seen["careful"] == {b"filefilefi"}
    assert SECRET in seen["heedless"]
