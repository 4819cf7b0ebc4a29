"""Ids handed out: for a session, and within bounds."""

from __future__ import annotations

import asyncio

from gateway.groups.pending_ids import PendingIds
from gateway.groups.tests.harness import virtual


@virtual
async def test_an_id_counts_until_it_is_taken_or_its_session_is_over():
    ids = PendingIds()
    ids.hand_out("g", "taken", "h", 10_000)
    ids.hand_out("g", "late", "h", 10_000)
    assert ids.has("g", "taken")
    assert not ids.has("other", "taken")
    assert ids.take("g", "taken")
    assert not ids.take("g", "taken")
    await asyncio.sleep(9.9)
    assert ids.has_any("g")
    await asyncio.sleep(0.2)
    assert not ids.has_any("g")
    assert not ids.take("g", "late")
    assert (len(ids), ids._by_owner, ids._by_group) == (0, {}, {})


@virtual
async def test_the_oldest_is_forgotten_of_who_has_many_first():
    ids = PendingIds(max_count=4)
    ids.hand_out("g", "modest", "m", 10_000)
    for n in range(10):
        ids.hand_out("g", f"greedy-{n}", "h", 10_000)
    assert [n for n in range(10) if ids.has("g", f"greedy-{n}")] == [8, 9]
    assert ids.has("g", "modest")
    for n in range(3):
        ids.hand_out("g", f"other-{n}", f"host-{n}", 10_000)
    assert len(ids) == 4
    assert not ids.has("g", "modest")
