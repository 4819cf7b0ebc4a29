"""Segments as their writers left them: finding the footer, and reading one that has none."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from typing import NamedTuple

from wal_core.errors import Corrupt
from wal_core.format.block import FOOTER_KINDS, Block
from wal_core.format.footer import Footer
from wal_core.format.places import Lost, Place
from wal_core.fsck.findings import Finding, Kind
from wal_core.fsck.look import Look
from wal_core.fsck.reading import Problem
from wal_core.fsck.writers import STRANGER, Writers


class Ending(NamedTuple):
    """How a segment ends."""

    key: str  # where its footer is, or should be
    footer: Footer | None
    problem: Problem | None  # of a footer that is there, or of what may be one
    term: int  # of its newest block, -1 when none could be read


async def ending_of(look: Look, segment: int) -> Ending:
    """Find the footer of a segment."""
    if look.store.segment_is_one_object:
        return await _ending_of_file(look, segment)
    keys = [key for key in look.blocks_of(segment) if number_of(key) >= 0]
    ending, unreadable, term, floor = None, None, -1, 0
    # From behind: after a footer there can only be what a fenced writer had in flight, and before
    # what a block calls durable there is none.
    for key in reversed(keys):
        number = number_of(key)
        if number < floor:
            break
        header = await look.reader.header(key)
        if header is None:
            unreadable = key
            continue
        term, floor = max(term, header.term), max(floor, header.durable_count)
        if header.kind in FOOTER_KINDS:
            ending = await _footer_at(look, segment, number, key, term)
    if ending is not None:
        return ending
    if unreadable is not None:
        return Ending(unreadable, None, Problem(Kind.DAMAGED, "it is no block"), term)
    next_number = number_of(keys[-1]) + 1 if keys else 0
    return Ending(look.place(segment, next_number).key, None, None, term)


async def _footer_at(look: Look, segment: int, number: int, key: str, term: int) -> Ending:
    found = await look.reader.block(look.place(segment, number))
    if isinstance(found, Problem):
        return Ending(key, None, found, term)
    try:
        return Ending(key, Footer.of_block(found), None, term)
    except Corrupt as error:
        return Ending(key, None, Problem(Kind.DAMAGED, error.message), term)


async def _ending_of_file(look: Look, segment: int) -> Ending:
    key = look.place(segment, 0).key
    try:
        block = await look.persist(lambda: look.store.read_footer(look.log_id, segment))
        if block is None:
            return Ending(key, None, None, -1)
        return Ending(key, Footer.of_block(block), None, block.header.term)
    except Corrupt as error:
        return Ending(key, None, Problem(Kind.DAMAGED, error.message), -1)


async def read_without_footer(look: Look, segment: int, *, last: bool) -> None:
    """Go through the blocks of a segment that has no footer, or none that can be read.

    `last`: it may be unfinished. Then blocks behind the first missing one were never confirmed,
    unless a later block says so.
    """
    if look.store.segment_is_one_object:
        await _read_file(look, segment, last=last)
        return
    keys = {number_of(key): key for key in look.blocks_of(segment) if number_of(key) >= 0}
    dense_count = next(number for number in range(len(keys) + 1) if number not in keys)
    durable_count = dense_count
    if not last:
        durable_count = max(keys, default=-1) + 1
    for number in sorted(keys):
        if last and number > dense_count:
            header = await look.reader.header(keys[number])
            durable_count = max(durable_count, header.durable_count if header else 0)
    while durable_count in keys:
        durable_count += 1
    look.inventory.name(*(keys[number] for number in keys if number < durable_count))
    known_bad = {finding.place: finding for finding in look.report.findings}
    places, holes = [], {}
    for number in range(durable_count):
        place = look.place(segment, number)
        finding = known_bad.get(place.key)
        if number not in keys:
            text = f"block {number}: later ones of its segment say that it was durable"
            finding = finding or look.report.add(Kind.MISSING, place.key, text)
        if finding is not None:
            holes[number] = finding
        else:
            places.append(place._replace(length=look.inventory.sizes[place.key]))
    await _read_blocks(look, places, holes, last=last)


async def _read_blocks(
    look: Look, places: Sequence[Place], holes: dict[int, Finding], *, last: bool
) -> None:
    """In order with the holes between them: what a stream misses is put down to the first hole
    since it was seen."""
    left = sorted(holes.items(), reverse=True)
    writers: Writers[str] = Writers()
    async with aclosing(look.reader.blocks(places)) as found:
        async for place, block in found:
            while left and left[-1][0] < place.block:
                look.streams.hole(left.pop()[1])
            if isinstance(block, Problem):
                look.hole(block.kind, place.key, block.text)
            else:
                writers.note(block, place.key)
                _feed(look, block, place.key, last=last)
    for _, finding in reversed(left):
        look.streams.hole(finding)
    for key in writers.strangers():
        look.report.add(Kind.DAMAGED, key, STRANGER)


async def _read_file(look: Look, segment: int, *, last: bool) -> None:
    key = look.place(segment, 0).key
    look.inventory.name(key)
    blocks = look.store.recover_segment(look.log_id, segment, look.persist, cut=False)
    try:
        async for block in blocks:
            if isinstance(block, Lost):
                if last:
                    look.hole(Kind.DAMAGED, key, f"block {block.block}: {block.text}")
                continue
            look.reader.blocks_count += 1
            _feed(look, block, key, last=last)
    except Corrupt as error:
        if last:
            look.hole(Kind.DAMAGED, key, error.message.rpartition(f"{key}: ")[2])


def _feed(look: Look, block: Block, key: str, *, last: bool) -> None:
    if block.is_footer:
        return
    for entry in block.entries():
        at = (entry.stream_id, entry.base_offset, entry.end_offset)
        look.streams.run(*at, key, known=not last)
        if last:
            look.apply(entry, key)


def number_of(key: str) -> int:
    """Of a block, from its key; -1 when that is none of a block."""
    name = key.rpartition("/")[2]
    return int(name) if name.isascii() and name.isdigit() else -1
