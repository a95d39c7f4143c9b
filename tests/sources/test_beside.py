"""Who is cancelled while a thread works on a file leaves neither the file open, nor a thread that
works on what is closed."""

import asyncio
from pathlib import Path
from tempfile import SpooledTemporaryFile
from threading import Event

import pytest
from mailproxy.v1 import message_pb2
from mailproxy_server.content.sources import filesystem
from mailproxy_server.content.sources.beside import Beside
from mailproxy_server.content.sources.filesystem import Filesystem
from mailproxy_server.content.sources.spool import Spool

from tests.support.eventually import eventually


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_a_thread_works_on_is_closed_when_that_ends_and_not_before() -> None:
    begun, go_on, closed = Event(), Event(), asyncio.Event()

    def work() -> None:
        begun.set()
        go_on.wait(20)
        assert not closed.is_set()

    threads = Beside(closed.set)
    task = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(begun.wait, 20)
    await cancelled(task)
    threads.close()
    assert not closed.is_set()
    go_on.set()
    await asyncio.wait_for(closed.wait(), 20)


async def test_without_a_thread_it_is_closed_at_once_and_what_work_raises_is_raised() -> None:
    closed: list[bool] = []
    threads = Beside(lambda: closed.append(True))
    with pytest.raises(ZeroDivisionError):
        await threads.run(divmod, 1, 0)
    assert await threads.run(divmod, 7, 2) == (3, 1)
    threads.close()
    assert closed == [True]


async def test_a_spooled_file_is_not_opened_anew_behind_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on, ended = Event(), Event(), Event()
    straight = SpooledTemporaryFile.rollover

    def slow(file: "SpooledTemporaryFile[bytes]") -> None:
        begun.set()
        go_on.wait(20)
        try:
            straight(file)
        finally:
            ended.set()

    monkeypatch.setattr(SpooledTemporaryFile, "rollover", slow)
    before = open_files()

    async def take() -> None:
        with Spool(2**30, 2**20) as spool:
            kept.append(spool)  # a file that nobody holds is closed by itself, with a warning
            await spool.write(bytes(2**21))
            raise AssertionError("the cancellation was to come first")

    kept: list[Spool] = []
    task = asyncio.create_task(take())
    await asyncio.to_thread(begun.wait, 20)
    await cancelled(task)
    go_on.set()
    await asyncio.to_thread(ended.wait, 20)
    await eventually(lambda: open_files() == before, "it is closed", seconds=10)


async def test_a_file_that_was_being_opened_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("a")
    begun, go_on, found = Event(), Event(), list[int]()
    straight = filesystem.open_beneath

    def slow(root: str, names: list[str]) -> int:
        begun.set()
        go_on.wait(20)
        found.append(straight(root, names))
        return found[0]

    monkeypatch.setattr(filesystem, "open_beneath", slow)

    async def fetch() -> None:
        file = message_pb2.Attachment(filesystem=str(tmp_path / "a.txt"))
        async with Filesystem([str(tmp_path)]).open(file):
            raise AssertionError("the cancellation was to come first")

    task = asyncio.create_task(fetch())
    await asyncio.to_thread(begun.wait, 20)
    await cancelled(task)
    go_on.set()
    await eventually(
        lambda: found and not Path(f"/proc/self/fd/{found[0]}").exists(), "closed", seconds=10
    )
