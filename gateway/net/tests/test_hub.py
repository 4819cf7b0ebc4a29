import asyncio

import pytest

from gateway.net import heap
from gateway.net.hub import CROWD_COUNT, TRIM_INTERVAL_S
from gateway.tests.harness import started, virtual


@virtual
async def test_what_a_crowd_leaves_behind_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once they have gone; a few that come and go cost nothing."""
    given_back = []
    monkeypatch.setattr(heap, "give_back", lambda: given_back.append(1))
    world, _ = await started()
    for count, expected in ((CROWD_COUNT // 2, 0), (CROWD_COUNT, 1)):
        for client in [world.client() for _ in range(count)]:
            client.transport.close()
        await asyncio.sleep(2 * TRIM_INTERVAL_S)
        assert len(given_back) == expected


def test_memory_can_be_given_back_here() -> None:
    heap.give_back()
