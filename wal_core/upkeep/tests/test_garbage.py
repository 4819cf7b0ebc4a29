"""When what nobody names any more may be deleted."""

import pytest

from wal_core import LogConfig
from wal_core.stores.manifests import Garbage
from wal_core.upkeep.garbage import HURRIED_GRACE_MS, when_due_ms

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("grace_ms", "hurried_ms"), [(600_000, HURRIED_GRACE_MS), (1_000, 1_000), (0, 0)]
)
def test_for_want_of_room_all_but_fences_goes_soon(grace_ms: int, hurried_ms: int) -> None:
    config = LogConfig(garbage_grace_ms=grace_ms, fence_grace_ms=700_000)
    row = Garbage(due_ms=NOW_MS + grace_ms, segment=3)
    fence = Garbage(due_ms=NOW_MS + config.fence_grace_ms, segment=3, is_fence=True)
    assert when_due_ms(row, config, in_want=False) == NOW_MS + grace_ms
    assert when_due_ms(row, config, in_want=True) == NOW_MS + hurried_ms
    for in_want in (False, True):
        assert when_due_ms(fence, config, in_want=in_want) == NOW_MS + 700_000
