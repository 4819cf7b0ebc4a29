"""The limit on open files: raised, and what it leaves for connections."""

import math
import resource

import pytest

from gateway.net import descriptors
from gateway.net.descriptors import (
    RESERVED_MAX_COUNT,
    connections_allowed,
    connections_max_count,
    limit_needed,
)


class _System:
    """Stands in for the system's limits of this process."""

    def __init__(self, soft: int, hard: int, *, refuses: bool = False) -> None:
        self.limits = (soft, hard)
        self.refuses = refuses
        self.RLIMIT_NOFILE = resource.RLIMIT_NOFILE
        self.RLIM_INFINITY = resource.RLIM_INFINITY

    def getrlimit(self, _: int) -> tuple[int, int]:
        return self.limits

    def setrlimit(self, _: int, limits: tuple[int, int]) -> None:
        if self.refuses:
            raise ValueError("not allowed to raise maximum limit")
        self.limits = limits


def test_the_soft_limit_is_raised_to_the_hard_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    system = _System(1_024, 20_000)
    monkeypatch.setattr(descriptors, "resource", system)
    assert connections_max_count(10_000) == 10_000
    assert system.limits == (20_000, 20_000)
    assert not caplog.records


def test_storage_keeps_its_share_of_a_small_limit_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(descriptors, "resource", _System(1_024, 1_024))
    assert connections_max_count(10_000) == 1_024 - RESERVED_MAX_COUNT
    assert [record.getMessage() for record in caplog.records] == ["few file descriptors"]
    monkeypatch.setattr(descriptors, "resource", _System(100, 4_000, refuses=True))
    assert connections_max_count(10_000) == 75


def test_no_limit_allows_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    endless = resource.RLIM_INFINITY
    monkeypatch.setattr(descriptors, "resource", _System(endless, endless))
    assert connections_max_count(10_000) == 10_000
    assert connections_allowed(math.inf) == math.inf


@pytest.mark.parametrize("count", [1, 2, 75, 100, 750, 768, 10_000])
def test_the_limit_that_is_asked_for_is_the_least_that_does(count: int) -> None:
    limit = limit_needed(count)
    assert connections_allowed(limit) >= count
    assert connections_allowed(limit - 1) < count
