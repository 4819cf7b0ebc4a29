"""Damage by hand is reported precisely: the right key, the records it costs, nothing else."""

from __future__ import annotations

from wal_core import Records
from wal_core.format.block import BlockIds, BlockKind, encode_payload, parse_block
from wal_core.format.chain import Sealed
from wal_core.format.footer import Footer
from wal_core.format.stream_tables import encode_streams
from wal_core.fsck import Kind
from wal_core.stores.manifests import Manifest, Manifests
from wal_core.stores.persistence import Persistence
from wal_core.testing.fuzz_blocks import repair_crc
from wal_core.testing.sim_loop import run
from wal_core.tests.damage import CONFIG, ENTRIES_COUNT, STREAMS_COUNT, Place, scenario
from wal_core.tests.harness import CountingRng


@scenario
async def test_a_log_after_a_kill_is_sound(place):
    assert len(place.sealed) >= 2
    assert len(place.completed) >= 2
    for deep in (True, False):
        report = await place.check(deep=deep)
        assert report.sound
        assert report.findings == []
        assert report.sealed_count == len(place.sealed)
        assert report.completed_count == len(place.completed)
        assert report.unfinished_count == 1
        assert report.garbage_count > 0
        assert report.unjudged_count == 0
        assert report.objects_count == len(place.bucket.objects) - 1  # the marker is of no log
        assert report.streams.keys() == set(range(STREAMS_COUNT))
        if deep:
            assert sum(row.end_offset for row in report.streams.values()) == ENTRIES_COUNT


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
async def test_a_footer_is_damaged(place):
    for segment in place.completed:
        key = place.footer(segment)
        for at in (0, 5, 40, 80, -1):
            place.flip(key, at)
            for deep in (True, False):
                report = await place.check(deep=deep)
                assert [(f.kind, f.place) for f in report.findings] == [(Kind.DAMAGED, key)]
                assert report.findings[0].records == []  # the blocks are all there
            place.flip(key, at)
        body = place.bucket.objects[key]
        place.truncate(key, len(body) - 1)
        assert await place.found() == [(Kind.DAMAGED, key)]
        place.bucket.objects[key] = body


@scenario
async def test_a_footer_is_deleted(place):
    key = place.footer(place.completed[-2])
    await place.delete(key)
    for deep in (True, False):
        report = await place.check(deep=deep)
        assert [(f.kind, f.place) for f in report.findings] == [(Kind.MISSING, key)]
        assert report.findings[0].records == []


@scenario
async def test_the_only_footer_behind_what_is_sealed_is_deleted(place):
    """Then it looks like a segment that was never finished; but no start gets on without it."""
    first = place.sealed[-1].last + 1
    for segment in range(first + 1, 100):
        await place.bucket.delete(*place.keys(f"logs/0/{segment:020d}/"))
    assert await place.found() == []
    key = place.footer(first)
    await place.delete(key)
    assert await place.found() == [(Kind.MISSING, key)]


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
async def test_a_footer_whose_rows_say_other_times_than_its_runs(place):
    """Whoever looks for a time would pass over the segment, or look into it in vain."""
    key = place.footer(place.sealed[-1].last + 1)
    body = bytearray(place.bucket.objects[key])
    footer = Footer.of_block(parse_block(bytes(body)))
    row = next(row for row in footer.streams() if footer.runs(row.stream_id))
    packed = encode_streams([row])
    at = body.index(packed)
    body[at : at + len(packed)] = encode_streams([row._replace(segment_max_timestamp_ms=-7)])
    repair_crc(body)
    place.bucket.objects[key] = bytes(body)
    report = await place.check()
    assert [(f.kind, f.place) for f in report.findings] == [(Kind.DAMAGED, key)]
    assert "greatest times" in report.findings[0].text


@scenario
async def test_the_index_of_a_sealed_segment_is_damaged_or_deleted(place):
    for sealed in (place.sealed[0], place.sealed[-1]):
        body = place.bucket.objects[sealed.index]
        for at in (0, 30, 100, -1):
            place.flip(sealed.index, at)
            for deep in (True, False):
                report = await place.check(deep=deep)
                (finding,) = report.findings
                assert (finding.kind, finding.place) == (Kind.DAMAGED, sealed.index)
                # Readers go by what the blocks say; who does not read them cannot tell.
                assert (finding.records == []) is deep
                assert (report.unjudged_count == 0) is deep
            place.flip(sealed.index, at)
        await place.delete(sealed.index)
        assert await place.found() == [(Kind.MISSING, sealed.index)]
        await place.bucket.create(sealed.index, [body])


@scenario
async def test_a_sealed_object_is_damaged(place):
    key = place.sealed_data()
    body = place.bucket.objects[key]
    place.flip(key)
    (finding,) = (await place.check()).findings
    assert (finding.kind, finding.place) == (Kind.DAMAGED, key)
    assert "CRC-32C" in finding.text
    assert finding.records
    place.truncate(key, len(body) - 1)
    (finding,) = (await place.check(deep=False)).findings
    assert (finding.kind, finding.place) == (Kind.DAMAGED, key)
    assert finding.text.startswith(f"{len(body) - 1} bytes, should be {len(body)}; named by sealed")
    shorter_by_a_block = len(finding.records)
    await place.delete(key)
    (finding,) = (await place.check()).findings
    assert (finding.kind, finding.place) == (Kind.MISSING, key)
    assert sum(row.end_offset - row.first_offset for row in finding.records) >= shorter_by_a_block


@scenario
async def test_the_newest_manifest_is_damaged(place):
    key = place.newest_manifest()
    for at in (0, 60, -1):
        place.flip(key, at)
        for deep in (True, False):
            assert await place.found(deep=deep) == [(Kind.DAMAGED, key)]
        place.flip(key, at)


@scenario
async def test_an_older_manifest_is_damaged_or_deleted(place):
    key = place.keys("manifests/")[-3]
    place.flip(key)
    assert await place.found() == [(Kind.DAMAGED, key)]
    assert await place.found(deep=False) == []
    await place.delete(key)
    assert await place.found() == [(Kind.MISSING, key)]


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


@scenario
async def test_all_manifests_are_gone(place):
    await place.delete(*place.keys("manifests/"))
    newest = max(place.sealed, key=lambda sealed: sealed.index)
    # Without them nothing can be told of the rest.
    assert await place.found() == [(Kind.MISSING, place_of_manifest_before(newest))]


@scenario
async def test_the_newest_manifest_and_what_it_had_deleted_are_gone(place):
    """What it had sealed may be all there is of that: nobody is told that it is left over."""
    newest = max(place.sealed, key=lambda sealed: sealed.index)
    number = int(newest.index.split("/")[2][:20])
    later = [key for key in place.keys("manifests/") if int(key[-20:]) >= number]
    await place.delete(*later)
    for segment in range(newest.first, newest.last + 1):
        await place.bucket.delete(*place.keys(f"logs/0/{segment:020d}/"))
    found = await place.found()
    assert (Kind.GAP, f"logs/0/{newest.first:020d}") in found
    assert (Kind.ORPHAN, newest.index) in found
    assert Kind.LEFTOVER not in {kind for kind, _ in found}


def place_of_manifest_before(sealed: Sealed) -> str:
    number = int(sealed.index.split("/")[2][:20])
    return f"manifests/0/{number - 1:020d}"


@scenario
async def test_orphans_are_named(place):
    folder = place.sealed[-1].index.rpartition("/")[0]
    keys = [
        f"{folder}/000099",  # where everything is named, or nothing
        f"logs/0/{0:020d}/{77:010d}",  # in a segment that was sealed
        f"logs/0/{place.completed[-2]:020d}/{77:010d}",
        f"logs/0/{place.completed[-2]:020d}/notes.txt",
        "logs/0/notes.txt",
        "manifests/0/notes.txt",
    ]
    for key in keys[:1] + keys[2:]:
        await place.bucket.create(key, [b"what is this?"])
        assert await place.found() == [(Kind.ORPHAN, key)]
        await place.delete(key)
    # Before the last of its garbage is gone, a segment is deleted with all that is in it.
    await place.bucket.create(keys[1], [b"what is this?"])
    assert await place.found() == []


def test_an_orphan_where_a_segment_was():
    async def main() -> None:
        place = await Place().fill(settled=True)
        assert await place.found() == []
        key = f"logs/0/{1:020d}/{77:010d}"
        await place.bucket.create(key, [b"what is this?"])
        assert await place.found() == [(Kind.ORPHAN, key)]

    run(main)


@scenario
async def test_what_a_compaction_left_is_harmless(place):
    number = int(place.newest_manifest()[-20:]) + 1
    key = f"sealed/0/{number:020d}-0123456789abcdef/000000"
    await place.bucket.create(key, [b"half"])
    report = await place.check()
    assert [(f.kind, f.place) for f in report.findings] == [(Kind.LEFTOVER, key)]
    assert report.sound


@scenario
async def test_what_is_needed_and_listed_as_garbage_is_doomed(place):
    from wal_core.stores.manifests import Garbage, decode_manifest

    newest = place.newest_manifest()
    manifest = decode_manifest(place.bucket.objects[newest][72:], int(newest[-20:]))
    doomed = place.sealed_data()
    await commit(
        place,
        Manifest(
            number=manifest.number + 1,
            term=manifest.term,
            sealed=manifest.sealed,
            garbage=[*manifest.garbage, Garbage(due_ms=0, keys=[doomed])],
        ),
    )
    assert await place.found() == [(Kind.DOOMED, doomed)]


async def commit(place: Place, manifest: Manifest) -> None:
    manifests = Manifests(place.bucket, 0, Persistence(CONFIG, CountingRng()), bytes(16))
    await manifests.commit(manifest)


@scenario
async def test_a_table_that_says_something_else_than_the_block(place):
    """Everything is whole, but they do not belong together: a fault of ours, not of the disk."""
    from wal_core.format.block import parse_block
    from wal_core.format.footer import Footer, encode_footer_payload

    segment = place.completed[-2]
    key = place.footer(segment)
    footer = Footer.of_block(parse_block(place.bucket.objects[key]))
    header = parse_block(place.bucket.objects[key]).header
    runs = list(footer.all_runs())
    runs[-1] = runs[-1]._replace(first_offset=runs[-1].first_offset - 1)
    payload = encode_footer_payload(
        map(footer.extent, range(footer.block_count)),
        footer.streams(),
        runs,
        footer.changes,
        0,
    )
    ids = BlockIds(0, segment, header.block, header.term, header.durable_count, header.nonce)
    encoded = encode_payload(BlockKind(header.kind), ids, payload)
    place.bucket.objects[key] = b"".join(encoded.pieces)
    report = await place.check()
    block = f"logs/0/{segment:020d}/{runs[-1].block:010d}"
    assert [(f.kind, f.place) for f in report.findings] == [
        (Kind.OVERLAP, key),
        (Kind.DAMAGED, block),
    ]
    stream, first = runs[-1].stream_id, runs[-1].first_offset
    assert report.findings[0].records == [Records(stream, first, first + 1)]
    assert "the table says" in report.findings[1].text
