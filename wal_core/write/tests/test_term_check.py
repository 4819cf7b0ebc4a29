"""When an owner has to look before what it created counts, and what it finds."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from wal_core import Fenced, LogConfig
from wal_core.stores.manifests import NO_MANIFEST, Manifest
from wal_core.tenure import Tenure
from wal_core.tests.harness import CountingRng
from wal_core.write.term_check import GRACE_PARTS_COUNT, TermCheck

GRACE_MS = 4_000


class _Clock:
    ms = 1_000_000

    def now_ms(self) -> int:
        return self.ms


class _Manifests:
    term = 3

    async def newest(self) -> Manifest:
        return msgspec.structs.replace(NO_MANIFEST, term=self.term)


def _check(clock: _Clock, manifests: _Manifests) -> TermCheck:
    config = LogConfig(fence_grace_ms=GRACE_MS)
    tenure = Tenure(config=config, clock=clock, rng=CountingRng(), nonce=b"n", term=3)
    return TermCheck(tenure, manifests, clock.ms)  # type: ignore[arg-type]


def test_a_look_is_good_for_a_part_of_the_grace_and_in_one_direction() -> None:
    clock = _Clock()
    check = _check(clock, _Manifests())
    assert not check.is_due
    clock.ms += GRACE_MS // GRACE_PARTS_COUNT
    assert not check.is_due
    clock.ms += 1
    assert check.is_due
    asyncio.run(check.until_sure())
    assert not check.is_due
    clock.ms -= 1
    assert check.is_due  # the clock was put back: nobody knows for how long it was wrong
    asyncio.run(check.until_sure())
    assert not check.is_due


def test_a_manifest_of_a_later_term_is_the_end() -> None:
    clock, manifests = _Clock(), _Manifests()
    check = _check(clock, manifests)
    clock.ms += GRACE_MS
    manifests.term = 4
    with pytest.raises(Fenced, match="long ago"):
        asyncio.run(check.until_sure())
    assert check.is_due
