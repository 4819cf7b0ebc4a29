"""Free memory goes back to the system, where the C library can do that."""

import ctypes
from collections.abc import Iterator

import pytest

from gateway.net import heap


@pytest.fixture(autouse=True)
def looked_up_anew() -> Iterator[None]:
    heap._malloc_trim.cache_clear()
    yield
    heap._malloc_trim.cache_clear()


def test_the_c_library_is_asked_to_keep_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    class Library:
        def malloc_trim(self, kept_bytes: int) -> int:
            asked.append(kept_bytes)
            return 1

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    heap.give_back()
    heap.give_back()
    assert asked == [0, 0]


@pytest.mark.parametrize("error", [OSError, AttributeError])
def test_without_such_a_thing_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def missing(name: object) -> object:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", missing)
    heap.give_back()
