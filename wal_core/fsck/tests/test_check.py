"""A whole check: what is sound, what manifests cost, what is left over or doomed."""

from __future__ import annotations

from wal_core.format.chain import Sealed
from wal_core.fsck.findings import Kind
from wal_core.stores.manifests import Manifest, Manifests
from wal_core.stores.persistence import Persistence
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


def place_of_manifest_before(sealed: Sealed) -> str:
    number = int(sealed.index.split("/")[2][:20])
    return f"manifests/0/{number - 1:020d}"


async def commit(place: Place, manifest: Manifest) -> None:
    manifests = Manifests(place.bucket, 0, Persistence(CONFIG, CountingRng()), bytes(16))
    await manifests.commit(manifest)
