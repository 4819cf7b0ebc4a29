"""What is no part of the log: each kind of it told from what only seems to be."""

from __future__ import annotations

import pytest

from wal_core.format.block import BlockIds, BlockKind, encode_payload
from wal_core.format.chain import Sealed
from wal_core.fsck.findings import Kind
from wal_core.fsck.leftovers import judge_garbage, judge_rest, judge_slots_behind
from wal_core.fsck.tests.looks import LOG_ID, found_in, look_at
from wal_core.stores.manifests import KEPT_COUNT, Garbage, Manifest, manifest_key
from wal_core.testing.sim_loop import run


def slot(segment: int, block: int) -> str:
    return f"logs/{LOG_ID}/{segment:020d}/{block:010d}"


def sealed_key(number: int, name: str = "000000") -> str:
    return f"sealed/{LOG_ID}/{number:020d}-n/{name}"


def block(segment: int, number: int) -> bytes:
    ids = BlockIds(LOG_ID, segment, number, 1, 0, b"n" * 16)
    return b"".join(bytes(piece) for piece in encode_payload(BlockKind.DATA, ids, b"").pieces)


def test_blocks_behind_the_end_of_a_segment_are_stragglers_if_they_are_blocks_of_it():
    async def main() -> None:
        stored = {slot(4, 0): block(4, 0), slot(4, 1): block(4, 1), slot(4, 2): block(9, 9)}
        look = await look_at(stored | {slot(4, 3): b"rubbish", slot(5, 0): block(5, 0)})
        look.inventory.name(slot(4, 0))
        await judge_slots_behind(look, 4)
        assert found_in(look) == [(Kind.STRAGGLER, slot(4, 1))]
        judge_rest(look, Manifest(number=0, term=1), [])
        assert found_in(look)[1:] == [
            (Kind.ORPHAN, key) for key in (slot(4, 2), slot(4, 3), slot(5, 0))
        ]

    run(main)


def test_garbage_is_counted_once_and_what_is_in_use_is_doomed():
    async def main() -> None:
        stored = {slot(4, number): b"12345" for number in range(4)} | {sealed_key(1): b"123"}
        look = await look_at(stored)
        look.inventory.name(slot(4, 1))
        garbage = [
            Garbage(due_ms=0, segment=4, keep=[3]),
            Garbage(due_ms=0, keys=[sealed_key(1), sealed_key(2), slot(4, 0)]),
        ]
        judge_garbage(look, Manifest(number=2, term=1, garbage=garbage))
        assert found_in(look) == [(Kind.DOOMED, slot(4, 1))]
        assert (look.report.garbage_count, look.report.garbage_bytes) == (3, 13)
        assert look.inventory.unnamed() == [slot(4, 3)]

    run(main)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        (sealed_key(5), Kind.LEFTOVER),  # cut short, the next opening sweeps it
        (sealed_key(3), Kind.ORPHAN),  # nobody looks there again
        (sealed_key(6, "000001"), Kind.ORPHAN),  # of a folder that was finished
        (manifest_key(LOG_ID, 9 - KEPT_COUNT), Kind.LEFTOVER),
        (manifest_key(LOG_ID, 10 - KEPT_COUNT), Kind.ORPHAN),
        (manifest_key(LOG_ID, 10), Kind.ORPHAN),
        (f"manifests/{LOG_ID}/stray", Kind.ORPHAN),
        (slot(7, 0), Kind.ORPHAN),
    ],
)
def test_each_kind_of_rest(key, kind):
    async def main() -> None:
        lock = f"logs/{LOG_ID}/lock"
        look = await look_at({key: b"x", sealed_key(6): b"x", lock: b"x"})
        look.inventory.name(sealed_key(6))
        judge_rest(look, Manifest(number=9, term=1, swept=4), [])
        assert found_in(look) == [(kind, key)]

    run(main)


def test_beside_a_gap_nothing_is_called_a_mere_leftover():
    async def main() -> None:
        look = await look_at({sealed_key(5): b"x"})
        look.report.add(Kind.GAP, "segment 3", "missing")
        judge_rest(look, Manifest(number=9, term=1), [])
        assert found_in(look)[1:] == [(Kind.ORPHAN, sealed_key(5))]

    run(main)


def test_what_a_damaged_index_may_name_is_not_judged():
    async def main() -> None:
        look = await look_at(
            dict.fromkeys([sealed_key(5), sealed_key(7), slot(3, 0), slot(4, 0)], b"x")
        )
        bad = Sealed(first=2, last=3, index=sealed_key(6, "index"), index_bytes=1, live_bytes=1)
        judge_rest(look, Manifest(number=9, term=1), [bad])
        assert found_in(look) == [(Kind.ORPHAN, slot(4, 0)), (Kind.LEFTOVER, sealed_key(7))]
        assert look.report.unjudged_count == 2

    run(main)
