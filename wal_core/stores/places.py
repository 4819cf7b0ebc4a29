"""Reading a block from its place, and creating the object that a block is alone in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from wal_core.errors import Corrupt, Fenced, Invalid, Unavailable
from wal_core.format.block import HEADER_BYTES, INDEX_ENTRY, Block, parse_block
from wal_core.format.places import Place
from wal_core.stores.deadline import expect
from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectStore
from wal_core.stores.off_loop import LARGE_ROWS_COUNT, READER, Lane, off_loop_if_large
from wal_core.types import Buffer


async def read_block(objects: ObjectStore, place: Place, lane: Lane = READER) -> Block:
    """The verified block at a place. Raises Corrupt when it is damaged or missing, Unavailable."""
    expect(place.length or 0)
    try:
        buffer = await objects.get_range(place.key, place.position, place.length)
    except NotFound:
        raise Corrupt(f"{place.key} is missing", **place.ids()) from None
    entries_max_count = (len(buffer) - HEADER_BYTES) // INDEX_ENTRY.size
    work = partial(_verified_and_grouped, place, buffer)
    return await off_loop_if_large(lane, entries_max_count, work)


def _verified_and_grouped(place: Place, buffer: Buffer) -> Block:
    block = verified(place, buffer)
    if block.header.entry_count >= LARGE_ROWS_COUNT:
        block.group()
    return block


def verified(place: Place, buffer: Buffer) -> Block:
    """Parse a block and make sure that it is the one that belongs here. Raises Corrupt, Invalid."""
    try:
        block = parse_block(buffer)
    except (Corrupt, Invalid) as error:
        raise type(error)(f"{place.key}: {error.message}", **place.ids()) from error
    header = block.header
    if (header.log_id, header.segment, header.block) != place[3:]:
        raise Corrupt(
            f"{place.key}: found block {header.block} of segment {header.segment} "
            f"of log {header.log_id}",
            **place.ids(),
        )
    return block


async def create_own(objects: ObjectStore, place: Place, pieces: Sequence[Buffer]) -> None:
    """Create the object a block is alone in, or find that one's own earlier attempt has done so.

    "Exists" may be an own success whose reply was lost, so the stored header is read back and
    compared; it holds the writer's nonce and the block's CRC, which no other block shares. May be
    repeated after any error. Raises Fenced when the key is another writer's, Unavailable.
    """
    expect(sum(map(len, pieces)))
    try:
        await objects.create(place.key, pieces)
    except AlreadyExists:
        await _recognise(objects, place, bytes(pieces[0][:HEADER_BYTES]))


async def _recognise(objects: ObjectStore, place: Place, own_header: bytes) -> None:
    """Return if the object under the key is ours, raise Fenced if it is somebody else's."""
    try:
        header = bytes(await objects.get_range(place.key, 0, HEADER_BYTES))
    except NotFound:
        # Some stores answer "conflict" to a create racing another that then fails.
        raise Unavailable("a create met another one that left nothing", **place.ids()) from None
    if header != own_header:
        raise Fenced(f"{place.key} belongs to another writer", **place.ids())
