"""Damage to footers, indexes and what they say, by hand: what it costs, and nothing else."""

from __future__ import annotations

from wal_core import Records
from wal_core.format.block import BlockIds, BlockKind, encode_payload, parse_block
from wal_core.format.footer import Footer
from wal_core.format.stream_tables import encode_streams
from wal_core.fsck.findings import Kind
from wal_core.testing.fuzz_blocks import repair_crc
from wal_core.tests.damage import scenario


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
