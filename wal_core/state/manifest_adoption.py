"""When the newest manifest is gone: what was sealed under it, found by what is left.

Nothing but a committed manifest deletes what a sealed segment replaced. So an index from after the
newest manifest that is left, of which a source is gone, was committed.
"""

from __future__ import annotations

import logging

import msgspec

from wal_core.errors import REMEDY, Corrupt
from wal_core.format.block import parse_block
from wal_core.format.chain import Sealed
from wal_core.format.places import Place
from wal_core.format.sealed_index import SealedIndex
from wal_core.format.segment_end import slot_number
from wal_core.state.survey import runs_with_ends
from wal_core.stores.manifests import Manifest
from wal_core.stores.objects.base import NotFound
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore

_logger = logging.getLogger(__name__)
_INDEX = "/index"


async def adopt(
    store: SegmentStore, log_id: int, manifest: Manifest, persist: Persistence
) -> Manifest:
    """`manifest`, with what must have been committed after it; itself if that is nothing. Where
    it is still the newest by then, that is damage: `tell` it."""
    prefix = f"sealed/{log_id}/"
    # The stand-in for one that is damaged has sealed what the one it really is had.
    start_after = f"{prefix}{_made_until(manifest) + 1:020d}"
    rows = await persist(lambda: store.objects.list(prefix, start_after))
    for row in rows:
        if not row.key.endswith(_INDEX):
            continue
        place = Place(row.key, 0, row.size_bytes, log_id, 0, 0)
        found = await _read(store, place, persist)
        if found is None:
            continue
        sealed = Sealed(
            first=found.first,
            last=found.last,
            index=row.key,
            index_bytes=row.size_bytes,
            live_bytes=sum(live.payload_bytes for live in runs_with_ends(found)),
        )
        if _fits(manifest, sealed) and await _source_is_gone(
            store, log_id, manifest, sealed, persist
        ):
            others = [one for one in manifest.sealed if one.last < sealed.first]
            others += [sealed, *(one for one in manifest.sealed if one.first > sealed.last)]
            manifest = msgspec.structs.replace(manifest, sealed=others, swept=manifest.number)
    return manifest


def tell(manifest: Manifest, adopted: Manifest) -> None:
    """What `adopt` has completed it with."""
    named = {row.index for row in manifest.sealed}
    for row in adopted.sealed:
        if row.index not in named:
            _logger.error(
                "%s is named by no manifest, and what it stands for is gone: it counts%s",
                row.index,
                REMEDY,
            )


def _made_until(manifest: Manifest) -> int:
    """Folders up to this number were judged by the manifest."""
    if manifest.swept < manifest.number:
        return manifest.number
    return max((int(row.index.split("/")[2][:20]) for row in manifest.sealed), default=-1)


async def _read(store: SegmentStore, place: Place, persist: Persistence) -> SealedIndex | None:
    try:
        body = await persist(lambda: store.objects.get_range(place.key, 0, None))
        return SealedIndex.of_block(parse_block(body))
    except (Corrupt, NotFound):
        return None


def _fits(manifest: Manifest, sealed: Sealed) -> bool:
    """Whether it stands for whole links, and leaves no room between them."""
    inside = [
        row for row in manifest.sealed if row.first <= sealed.last and row.last >= sealed.first
    ]
    if any(row.first < sealed.first or row.last > sealed.last for row in inside):
        return False
    return sealed.first <= manifest.covered + 1


async def _source_is_gone(
    store: SegmentStore, log_id: int, manifest: Manifest, sealed: Sealed, persist: Persistence
) -> bool:
    for row in manifest.sealed:
        inside = sealed.first <= row.first and row.last <= sealed.last
        if inside and await _size(store, row.index, persist) is None:
            return True
    for segment in range(max(sealed.first, manifest.covered + 1), sealed.last + 1):
        if await _is_gone(store, log_id, segment, persist):
            return True
    return False


async def _is_gone(store: SegmentStore, log_id: int, segment: int, persist: Persistence) -> bool:
    """All of a segment, or a part."""
    if store.uploads:
        return segment not in await persist(lambda: store.segments(log_id, segment - 1))
    name = f"logs/{log_id}/{segment:020d}"
    if store.segment_is_one_object:
        return await _size(store, f"{name}.seg", persist) is None
    rows = await persist(lambda: store.objects.list(f"{name}/"))
    slots = [slot_number(row.key) for row in rows]
    if slots == [*range(len(slots))]:
        return not slots
    # Behind its footer there may be what an earlier writer had in flight, with gaps.
    try:
        footer = await persist(lambda: store.read_footer(log_id, segment))
    except Corrupt:
        return True
    count = 0 if footer is None else footer.header.block + 1
    return not count or slots[:count] != [*range(count)]


async def _size(store: SegmentStore, key: str, persist: Persistence) -> int | None:
    return await persist(lambda: store.objects.size(key))
