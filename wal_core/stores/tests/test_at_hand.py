"""What is read on the loop, and what never is: see at_hand.py."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from wal_core.clock import SystemRng
from wal_core.format.places import Slot
from wal_core.stores import at_hand, file_region
from wal_core.stores.at_hand import AtHand
from wal_core.stores.objects.local_folder import LocalFolderStore
from wal_core.stores.segments.file import FileSegmentStore

BODY = bytes(range(256)) * 1_024


@pytest.fixture(autouse=True, params=["compiled", "pure"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure":
        monkeypatch.setattr(file_region, "COMPILED", None)
    elif file_region.COMPILED is None:
        pytest.skip("compiled help was not built")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[AtHand]:
    """`a` is kept open."""
    files = AtHand()
    keep(files, tmp_path, "a")
    yield files
    files.close()


def keep(files: AtHand, folder: Path, name: str) -> Path:
    path = folder / name
    path.write_bytes(BODY)
    fd = os.open(path, os.O_RDONLY)
    files.keep(name, fd)
    os.close(fd)
    return path


def open_count() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def on_loop(call):
    async def main():
        return call()

    return asyncio.run(main())


@pytest.mark.parametrize(("start", "length"), [(0, 1), (0, len(BODY)), (5_000, 70_000)])
def test_what_is_in_memory_is_read(files: AtHand, start: int, length: int) -> None:
    assert on_loop(lambda: files.read("a", start, length)) == BODY[start : start + length]
    assert on_loop(lambda: files.holding("a", start, length)) is not None


def test_bytes_that_are_not_there_are_none(files: AtHand) -> None:
    assert on_loop(lambda: files.read("a", 1, len(BODY))) is None
    assert on_loop(lambda: files.holding("a", 1, len(BODY))) is None
    assert on_loop(lambda: files.holding("a", 0, 0)) is None


def test_what_is_not_in_memory_is_not_waited_for(files: AtHand, tmp_path: Path) -> None:
    fd = os.open(tmp_path / "a", os.O_RDWR)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    end = len(BODY) - 4_096
    assert on_loop(lambda: files.holding("a", end, 4_096)) is None
    assert on_loop(lambda: files.read("a", 0, len(BODY))) is None


def test_only_what_a_thread_has_opened_is_read(tmp_path: Path) -> None:
    async def main() -> None:
        store = LocalFolderStore(tmp_path, SystemRng())
        await store.open()
        for key in ("logs/a", "logs/b"):
            await store.create(key, [BODY])
        before_count = open_count()
        assert await store.get_range("logs/a", 0, 10) == BODY[:10]
        assert store.at_hand.read("logs/a", 0, 10) is None  # nobody had asked for it
        assert await store.get_range("logs/a", 0, 10) == BODY[:10]
        assert await store.get_range("logs/b", 0, 10) == BODY[:10]
        assert store.at_hand.read("logs/a", 0, 10) == BODY[:10]
        assert open_count() == before_count + 1
        await store.delete("logs/a")
        assert open_count() == before_count
        assert store.at_hand.read("logs/a", 0, 10) is None
        await store.close()

    asyncio.run(main())


def test_a_segment_that_is_deleted_gives_its_space_back(tmp_path: Path) -> None:
    async def main() -> None:
        store = FileSegmentStore(tmp_path)
        files = store.at_hand
        assert files is not None
        await store.objects.open()
        key = store.place(Slot(0, 7, 0, 0), None).key
        await store.objects.create(key, [BODY])
        before_count = open_count()
        assert files.read(key, 0, 10) is None
        await store.objects.get_range(key, 0, 10)
        assert files.read(key, 0, 10) == BODY[:10]
        assert open_count() == before_count + 1
        await store.delete_segment(0, 7)
        assert open_count() == before_count
        await store.close()

    asyncio.run(main())


def test_a_file_that_went_before_it_was_kept_is_let_go(tmp_path: Path) -> None:
    files = AtHand()
    before_count = open_count()
    keep(files, tmp_path, "a").unlink()
    assert on_loop(lambda: files.read("a", 0, 1)) is None
    assert open_count() == before_count


def test_some_tens_are_kept_open(tmp_path: Path) -> None:
    files = AtHand()
    before_count = open_count()
    names = [f"f{number}" for number in range(3 * at_hand._FILES_MAX_COUNT)]
    for name in names:
        assert on_loop(lambda name=name: files.read(name, 0, 1)) is None
        assert files.wants(name)
        keep(files, tmp_path, name)
    on_loop(lambda: [keep(files, tmp_path, names[-1]) for _ in range(3)])
    found = [on_loop(lambda name=name: files.read(name, 0, 1)) is not None for name in names]
    assert found == [False] * (len(names) - at_hand._FILES_MAX_COUNT) + [True] * (
        at_hand._FILES_MAX_COUNT
    )
    assert not files.wants(names[-1])
    assert open_count() <= before_count + at_hand._FILES_MAX_COUNT
    files.close()
    assert open_count() == before_count
    keep(files, tmp_path, "late")
    assert open_count() == before_count


def test_after_a_slow_one_threads_read(files: AtHand, monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        now_s, used_s, takes_s = 100.0, 0.0, 0.003

        def read(fd: int, start: int, length: int) -> bytes:
            nonlocal used_s
            used_s += takes_s
            return BODY[start : start + length]

        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now_s, raising=False)
        monkeypatch.setattr(at_hand, "thread_time", lambda: used_s)
        monkeypatch.setattr(at_hand, "read_at_hand", read)
        assert files.read("a", 0, 9) == BODY[:9]
        assert files.read("a", 0, 9) is None
        assert files.holding("a", 0, 9) is None
        now_s += 20 * takes_s
        takes_s = 0.001
        assert files.holding("a", 0, 9) is not None
        for _ in range(3):
            assert files.read("a", 0, 9) == BODY[:9]

    asyncio.run(main())
