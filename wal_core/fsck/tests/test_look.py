"""What the parts of a check share: where things are, and how sure the listing is of their size."""

from __future__ import annotations

from wal_core import Corrupt
from wal_core.fsck.findings import Kind
from wal_core.fsck.tests.looks import LOG_ID, look_at
from wal_core.types import Entry

FOLDER = f"logs/{LOG_ID}/{3:020d}"


async def test_a_segment_of_objects_is_a_folder_and_all_in_it():
    keys = [f"{FOLDER}/{number:010d}" for number in (0, 1)]
    other = f"logs/{LOG_ID}/{4:020d}/{0:010d}"
    look = await look_at(dict.fromkeys((*keys, other), b"x"))
    assert look.segment_name(3) == FOLDER
    assert look.blocks_of(3) == keys
    assert look.place(3, 1).key == keys[1]


async def test_what_the_listing_has_too_small_or_not_at_all_is_asked_for_again():
    key = f"{FOLDER}/{0:010d}"
    look = await look_at({key: b"four"})
    assert await look.size_bytes(key, 4) == 4
    await look.store.objects.delete(key)
    assert await look.size_bytes(key, 4) == 4  # the listing is enough
    assert await look.size_bytes(key, 5) is None
    await look.store.objects.create(key, [b"longer"])
    assert await look.size_bytes(key, 5) == 6
    assert await look.size_bytes("logs/1/of another", 1) is None


async def test_once_a_start_would_stop_nothing_more_is_told_to_it():
    class Stops:
        calls = 0

        def apply(self, entry: Entry) -> None:
            self.calls += 1
            raise Corrupt("of a newer release")

    look = await look_at({})
    look.checkpoint = stops = Stops()  # type: ignore[assignment]
    for _ in range(2):
        look.apply(Entry(1, 0, 1, 1, -1, b"x"), "key")
    assert stops.calls == 1
    assert [(f.kind, f.place, f.text) for f in look.report.findings] == [
        (Kind.DAMAGED, "key", "no start understands it: of a newer release")
    ]


async def test_a_hole_is_a_finding_that_streams_may_be_put_down_to():
    look = await look_at({})
    finding = look.hole(Kind.MISSING, FOLDER, "it is gone")
    assert look.report.findings == [finding]
    assert not look.report.sound
