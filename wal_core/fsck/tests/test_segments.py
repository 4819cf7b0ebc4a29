"""Damage to blocks, by hand: the right key, the records it costs, nothing else."""

from __future__ import annotations

from wal_core import Records
from wal_core.fsck.findings import Kind
from wal_core.tests.damage import scenario


@scenario
async def test_a_block_is_deleted(place):
    key = place.completed_block()
    await place.delete(key)
    for deep in (True, False):
        report = await place.check(deep=deep)
        assert [(f.kind, f.place) for f in report.findings] == [(Kind.MISSING, key)]
        (lost,) = report.findings[0].records
        assert lost.end_offset == lost.first_offset + 1
        assert not report.sound


@scenario
async def test_a_byte_of_a_block_flips(place):
    key = place.completed_block()
    place.flip(key)
    report = await place.check()
    assert [(f.kind, f.place, f.text) for f in report.findings] == [
        (Kind.DAMAGED, key, "CRC-32C of the block does not match")
    ]
    assert len(report.findings[0].records) == 1
    assert await place.found(deep=False) == []  # it is what --quick leaves out


@scenario
async def test_a_block_is_cut_short_or_grows(place):
    key, original = place.completed_block(), place.bucket.objects[place.completed_block()]
    for body in (original[:-1], original[:10], b"", original + b"\0"):
        place.bucket.objects[key] = body
        for deep in (True, False):
            assert await place.found(deep=deep) == [(Kind.DAMAGED, key)]


@scenario
async def test_two_blocks_change_places(place):
    one, other = place.completed_block(0), place.completed_block(1)
    objects = place.bucket.objects
    objects[one], objects[other] = objects[other], objects[one]
    assert await place.found() == [(Kind.DAMAGED, one), (Kind.DAMAGED, other)]


@scenario
async def test_a_block_by_another_writer(place):
    """The same records, even: two had the segment for theirs."""
    key = place.completed_block()
    lost = [Records(row.stream_id, row.base_offset, row.end_offset) for row in place.entries(key)]
    place.put_block(key, *place.entries(key), own=False)
    report = await place.check()
    assert [(f.kind, f.place) for f in report.findings] == [(Kind.DAMAGED, key)]
    assert "another writer" in report.findings[0].text
    assert report.findings[0].records == lost


@scenario
async def test_a_block_with_other_records(place):
    key = place.completed_block()
    (entry,) = place.entries(key)
    for other in (
        entry._replace(base_offset=entry.base_offset - 1),
        entry._replace(stream_id=entry.stream_id + 1),
        entry._replace(record_count=2),
        entry._replace(max_timestamp_ms=entry.max_timestamp_ms + 1),
    ):
        place.put_block(key, other)
        assert await place.found() == [(Kind.DAMAGED, key)]


@scenario
async def test_a_segment_folder_is_gone(place):
    segment = place.completed[-2]
    await place.delete(*place.keys(f"logs/0/{segment:020d}/"))
    report = await place.check()
    assert [(f.kind, f.place) for f in report.findings] == [(Kind.GAP, f"logs/0/{segment:020d}")]
    lost = report.findings[0].records
    assert [row.end_offset - row.first_offset for row in lost] == [1, 1, 1]


@scenario
async def test_several_segments_are_gone(place):
    first, last = place.completed[:-1][0], place.completed[:-1][-1]
    for segment in range(first, last + 1):
        await place.delete(*place.keys(f"logs/0/{segment:020d}/"))
    report = await place.check()
    assert [(f.kind, f.place) for f in report.findings] == [(Kind.GAP, f"logs/0/{first:020d}")]


@scenario
async def test_the_end_of_the_log_is_gone(place):
    """All that is behind the sealed segments: whoever sealed them wrote something there."""
    for segment in range(place.sealed[-1].last + 1, 100):
        await place.bucket.delete(*place.keys(f"logs/0/{segment:020d}/"))
    assert await place.found() == [(Kind.GAP, f"logs/0/{place.sealed[-1].last + 1:020d}")]
