"""Blocks that lie side by side in one object: read at once, verified and parsed together.

A block of one small record costs a hundred times more to fetch than to look at, so who wants one
gets its neighbours too. Which blocks make a stretch follows from their numbers (a whole multiple of
a power of two), so that readers who come from different offsets ask for the same ones.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, suppress
from functools import partial
from typing import NamedTuple, TypeVar

from wal_core.config import MIB
from wal_core.errors import Corrupt, Invalid
from wal_core.format.block import (
    HEADER_BYTES,
    INDEX_ENTRY,
    Block,
    checked_header,
    parse_block,
    parse_header,
)
from wal_core.format.compiled import compiled
from wal_core.format.places import Place
from wal_core.format.stream_tables import Run
from wal_core.format.versions import BLOCK
from wal_core.stores.deadline import expect
from wal_core.stores.in_order import in_order
from wal_core.stores.objects.base import NotFound, ObjectStore
from wal_core.stores.off_loop import LARGE_ROWS_COUNT, READER, Lane, off_loop_if_large
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import read_block, verified
from wal_core.types import Buffer, Entry

STRETCH_BLOCKS_MAX_COUNT = 256
STRETCH_BYTES_MAX = MIB
"""Larger: fewer reads; more that is read in vain, and more of the loop's time in one piece."""
COMPILED_BLOCK_BYTES_MAX = 16 * 1024
"""Of the blocks of a stretch on average: the checksums of larger ones are taken one by one, by what
is fastest for them."""
AT_ONCE_BYTES_MAX = 4 * MIB
"""So much, and no more, is read and verified on the loop, in about a millisecond."""
COMPILED_ENTRIES_MAX_COUNT = 4_000
"""In one stretch, which compiled code takes apart in a millisecond or two, and nobody gets the
interpreter meanwhile, in whatever thread it were done."""
READS_MAX_COUNT = 64
READS_MAX_BYTES = 64 * MIB
"""Many reads in flight hide the round trip: a whole segment of small blocks costs a handful. The
bytes bound what is in memory; one block is always read."""

_ROWS_OF_A_BLOCK = 5
"""To verify a block takes as long as to look at so many entries: 256 of one record each, 3 ms."""

_HEADERS_MAX_COUNT = 16
"""Of so many blocks the headers are looked at to know how many entries there are."""

_WANTED_SHARE = 8
"""One block of so many, at least, must hold what is looked for."""


COMPILED = compiled("wal_core.format._blocks")
"""None: all is done here."""

T = TypeVar("T")


class Stretch(NamedTuple):
    """A range of an object, and the blocks that must be there, numbered without a gap."""

    key: str
    position: int
    length: int
    log_id: int
    segment: int
    first: int
    block_count: int

    @classmethod
    def between(cls, first: Place, last: Place) -> Stretch:
        """From one block to another, or the same one; both are of one object."""
        assert last.length is not None
        length = last.position + last.length - first.position
        count = last.block - first.block + 1
        return cls(first.key, first.position, length, *first[3:], count)

    @property
    def place(self) -> Place:
        return Place(*self[:6])

    def holds(self, place: Place) -> bool:
        """Whether that block is one of these."""
        of = place.key, place.log_id, place.segment
        is_near = 0 <= place.block - self.first < self.block_count
        return is_near and of == (self.key, self.log_id, self.segment)


class Blocks:
    """What readers keep of the verified blocks of a stretch: the entries."""

    __slots__ = ("_by_stream", "bytes_count", "entry_count")

    def __init__(
        self, by_stream: dict[int, list[Entry]], *, entry_count: int, bytes_count: int
    ) -> None:
        self.bytes_count = bytes_count
        self.entry_count = entry_count
        self._by_stream = by_stream

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> Blocks:
        """Those of a stretch."""
        by_stream: dict[int, list[Entry]] = {}
        for block in blocks:
            for entry in block.entries():
                by_stream.setdefault(entry[0], []).append(entry)
        return cls(
            by_stream,
            entry_count=sum(block.header.entry_count for block in blocks),
            bytes_count=sum(len(block.buffer) for block in blocks),
        )

    def of_stream(self, stream_id: int) -> Sequence[Entry]:
        """The entries of one stream, in offset order; some between them may lie elsewhere."""
        return self._by_stream.get(stream_id, ())


async def read_entries(objects: ObjectStore, stretch: Stretch, lane: Lane = READER) -> Blocks:
    """What is in a stretch. Raises Corrupt when a block is damaged or missing, Unavailable."""
    buffer = await _bytes_of(objects, stretch)
    found = _by_compiled(stretch, buffer)
    return found if found is not None else await _parsed(stretch, buffer, Blocks.of, lane)


def entries_at_once(stretch: Stretch, buffer: Buffer) -> Blocks | None:
    """What is in a stretch, if that takes no longer than a millisecond or two; None if it would, or
    a block is not as it should be."""
    found = _by_compiled(stretch, buffer)
    if found is None and _rows_count(stretch, buffer) < LARGE_ROWS_COUNT:
        with suppress(Corrupt, Invalid):
            found = Blocks.of(_verified(stretch, buffer))
    return found


def _by_compiled(stretch: Stretch, buffer: Buffer) -> Blocks | None:
    """None, too, without compiled help."""
    count = stretch.block_count
    if COMPILED is None or len(buffer) > AT_ONCE_BYTES_MAX:
        return None
    is_checked = len(buffer) > count * COMPILED_BLOCK_BYTES_MAX
    if is_checked and not _are_whole(buffer, count):
        return None
    of = *stretch[3:], BLOCK.oldest, BLOCK.version, COMPILED_ENTRIES_MAX_COUNT, is_checked
    found = COMPILED.entries(buffer, Entry, *of)
    if found is None:
        return None
    by_stream, entry_count = found
    return Blocks(by_stream, entry_count=entry_count, bytes_count=len(buffer))


def _are_whole(buffer: Buffer, count: int) -> bool:
    view = memoryview(buffer)
    try:
        for _ in range(count):
            view = view[checked_header(view).total_bytes :]
    except Corrupt:
        return False
    return True


async def read_stretch(
    objects: ObjectStore, stretch: Stretch, work: Callable[[list[Block]], T], lane: Lane = READER
) -> T:
    """What `work` makes of the verified blocks, beside the loop where it is much. Raises Corrupt
    when one of them is damaged or missing, Unavailable."""
    return await _parsed(stretch, await _bytes_of(objects, stretch), work, lane)


async def _bytes_of(objects: ObjectStore, stretch: Stretch) -> Buffer:
    expect(stretch.length)
    try:
        return await objects.get_range(stretch.key, stretch.position, stretch.length)
    except NotFound:
        raise _corrupt(stretch, "is missing") from None


async def _parsed(
    stretch: Stretch, buffer: Buffer, work: Callable[[list[Block]], T], lane: Lane
) -> T:
    rows_count = _rows_count(stretch, buffer)
    return await off_loop_if_large(lane, rows_count, lambda: work(_verified(stretch, buffer)))


def _rows_count(stretch: Stretch, buffer: Buffer) -> int:
    """What it takes to look at them, in entries."""
    return _entries_count(stretch, buffer) + stretch.block_count * _ROWS_OF_A_BLOCK


def _entries_count(stretch: Stretch, buffer: Buffer) -> int:
    """As the headers say, which nobody has verified yet, where there are few blocks; else the most
    that there can be. A handful of large batches is not worth a thread, and its checksum takes a
    tenth of a millisecond for a megabyte."""
    most_count = (len(buffer) - stretch.block_count * HEADER_BYTES) // INDEX_ENTRY.size
    if stretch.block_count > _HEADERS_MAX_COUNT or len(buffer) > STRETCH_BYTES_MAX:
        return most_count
    count = at = 0
    view = memoryview(buffer)
    try:
        for _ in range(stretch.block_count):
            header = parse_header(view[at:])
            count += header.entry_count
            at += header.total_bytes
    except Corrupt:
        return most_count
    return count


def _verified(stretch: Stretch, buffer: Buffer) -> list[Block]:
    if stretch.block_count == 1:
        return [verified(stretch.place, buffer)]
    return _parse_all(stretch, memoryview(buffer))


def _group_large(blocks: list[Block]) -> list[Block]:
    for block in blocks:
        if block.header.entry_count >= LARGE_ROWS_COUNT:
            block.group()
    return blocks


def _parse_all(stretch: Stretch, buffer: memoryview) -> list[Block]:
    blocks = []
    at = 0
    for number in range(stretch.first, stretch.first + stretch.block_count):
        block = parse_block(buffer[at:])
        header = block.header
        if (header.log_id, header.segment, header.block) != (*stretch[3:5], number):
            raise _corrupt(stretch, f"found another block in the place of {number}")
        blocks.append(block)
        at += header.total_bytes
    if at != len(buffer):
        raise _corrupt(stretch, "its blocks have other lengths than its table says")
    return blocks


def _corrupt(stretch: Stretch, what: str) -> Corrupt:
    _, _, _, log_id, segment, block, _ = stretch
    return Corrupt(f"{stretch.key} {what}", log_id=log_id, segment=segment, block=block)


def stretches_around(
    blocks_count: int,
    place_of: Callable[[int], Place],
    runs: Sequence[Run],
    at: int,
    bytes_max: int,
) -> Iterator[tuple[Stretch, int]]:
    """Stretches of a segment that hold the block of `runs[at]`, and the number behind each; the
    largest first, the block alone last."""
    number = runs[at].block
    here = place_of(number)

    def within(count: int) -> tuple[Stretch, int] | None:
        low = number - number % count
        high = low + count
        if high > blocks_count:
            return None
        first, last = place_of(low), place_of(high - 1)
        if (first.key, last.key) != (here.key, here.key):
            return None
        if (first.segment, last.segment) != (here.segment, here.segment):
            return None
        # Numbers of blocks rise in an object, so if these are as far apart as in the table, those
        # between them are there too.
        if here.block - first.block != number - low or last.block - first.block != count - 1:
            return None
        stretch = Stretch.between(first, last)
        if stretch.length > bytes_max or not _is_wanted(runs, at, low, high):
            return None
        return stretch, high

    alone = Stretch.between(here, here), number + 1
    if within(2) is None:
        # What keeps it from making a stretch with the one it is paired with keeps it from larger
        # ones: most of all that each block is an object of its own.
        yield alone
        return
    count = STRETCH_BLOCKS_MAX_COUNT
    largest = within(count)
    if largest is None:
        count = 1
        while count * 2 < STRETCH_BLOCKS_MAX_COUNT and (larger := within(count * 2)) is not None:
            largest, count = larger, count * 2
    while count > 1:
        if largest is not None:
            yield largest
        count //= 2
        largest = within(count)
    yield alone


def _is_wanted(runs: Sequence[Run], at: int, low: int, high: int) -> bool:
    """Whether enough of the blocks from `low` on, before `high`, are in the runs; at least that of
    `runs[at]` is."""
    number = runs[at].block
    least, most = max(0, at - (number - low)), min(len(runs), at + high - number)
    if runs[least].block == low and runs[most - 1].block == high - 1:
        return True  # one run for each
    begin = bisect_left(runs, low, least, at, key=_block_of)
    end = bisect_left(runs, high, at, most, key=_block_of)
    return (end - begin) * _WANTED_SHARE >= high - low


def _block_of(run: Run) -> int:
    return run.block


async def read_in_order(
    objects: ObjectStore,
    places: Iterable[Place],
    persist: Persistence,
    *,
    lane: Lane = READER,
    count_max: int = READS_MAX_COUNT,
    bytes_max: int = READS_MAX_BYTES,
) -> AsyncGenerator[Block, None]:
    """The blocks at `places`, neighbours at once, several reads in flight. Lengths must be known.
    Close it early with `contextlib.aclosing`."""
    reads = in_order(
        side_by_side(places, STRETCH_BYTES_MAX),
        lambda run: persist(partial(_read_run, objects, run, lane)),
        size_bytes=_size_bytes,
        count_max=count_max,
        bytes_max=bytes_max,
    )
    async with aclosing(reads) as runs:
        async for _, found in runs:
            for block in found:
                yield block


async def _read_run(objects: ObjectStore, run: Sequence[Place], lane: Lane) -> list[Block]:
    """Blocks side by side; the error is that of the one that is damaged."""
    try:
        return await read_stretch(objects, Stretch.between(run[0], run[-1]), _group_large, lane)
    except Corrupt:
        if len(run) == 1:
            raise
        return [await read_block(objects, place, lane) for place in run]


def _size_bytes(run: Sequence[Place]) -> int:
    return sum(place.length or 0 for place in run)


def side_by_side(places: Iterable[Place], bytes_max: int) -> Iterator[list[Place]]:
    """Neighbouring places that make a stretch, one after the other."""
    run: list[Place] = []
    for place in places:
        if run and not (
            len(run) < STRETCH_BLOCKS_MAX_COUNT
            and _follows(run[-1], place)
            and place.position + (place.length or 0) - run[0].position <= bytes_max
        ):
            yield run
            run = []
        run.append(place)
    if run:
        yield run


def _follows(before: Place, place: Place) -> bool:
    return (
        before.length is not None
        and (place.key, place.position) == (before.key, before.position + before.length)
        and place[3:] == (before.log_id, before.segment, before.block + 1)
    )
