"""Damage to what is remembered: records stand in for it, and nothing whole is given up."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 - seeded
from typing import Any, NamedTuple

from gateway.broker.journal_records import JOURNAL_STREAM_ID
from gateway.broker.tests.test_deletion import SMALL_SEGMENTS
from gateway.broker.tests.test_log_state import _commit, _picture, _work
from gateway.tests.harness import World, batch_of, started, virtual
from wal_core import CHECKPOINT_STREAM_ID, MemoryStore
from wal_core.format.block import BlockKind, parse_block


class Block(NamedTuple):
    """Where one is, and what is in it."""

    key: str
    end: int
    streams: set[int]


class Snapshot:
    """What a broker left in its bucket, to be damaged again and again."""

    def __init__(self, world: World) -> None:
        self._world = world
        bucket = world.objects.inner
        assert isinstance(bucket, MemoryStore)
        self._objects = {key: bytes(body) for key, body in bucket.objects.items()}

    def blocks(self) -> list[Block]:
        found = []
        for key, body in sorted(self._objects.items()):
            at = 0
            while body[at : at + 4] == b"WPB1":
                block = parse_block(body[at:])
                at += block.header.total_bytes
                if block.header.kind == BlockKind.DATA:
                    found.append(Block(key, at, {e.stream_id for e in block.entries()}))
        return found

    async def start(self, *damaged: Block) -> None:
        """A new broker on it, with a byte flipped in some blocks."""
        bucket = MemoryStore()
        for key, body in self._objects.items():
            left = bytearray(body)
            for block in damaged:
                if block.key == key:
                    left[block.end - 1] ^= 1
            await bucket.create(key, [left])
        self._world.objects.inner = bucket
        await self._world.start()
        await asyncio.sleep(1)


def _known(picture: dict[str, Any]) -> dict[str, Any]:
    """What records alone tell: neither producers nor epochs."""
    partitions = {key: row[2:] for key, row in picture["partitions"].items()}
    deleted = {key: row[0].deleted_below for key, row in picture["partitions"].items()}
    return picture | {"partitions": partitions, "deleted": deleted}


@virtual
async def test_topics_groups_and_deletions_outlive_any_piece_of_the_checkpoint() -> None:
    rng = random.Random(5)
    world = await World(**SMALL_SEGMENTS).start()
    for _ in range(3):
        await _work(world, rng, 60)
        await world.restart()
        await asyncio.sleep(1)
    before = _known(_picture(world))
    offsets = world.gateway.broker.topics.named("__consumer_offsets")
    assert offsets is not None
    told = {JOURNAL_STREAM_ID, *(partition.stream_id for partition in offsets.partitions)}
    stream_ids = set(world.log.stream_ids())
    await world.crash()
    snapshot = Snapshot(world)
    pieces = [block for block in snapshot.blocks() if CHECKPOINT_STREAM_ID in block.streams]
    alone = [block for block in pieces if not block.streams & told]
    assert len(alone) >= 3
    for block in pieces:
        await snapshot.start(block)
        after = _known(_picture(world))
        if block in alone:
            held = {s for s in block.streams if s in before["partitions"]}
            for stream in held:
                after["partitions"].pop(stream)
            assert after == before | {
                "partitions": {k: v for k, v in before["partitions"].items() if k not in held}
            }
        assert set(world.log.stream_ids()) >= stream_ids - block.streams
        await world.crash()


@virtual
async def test_records_of_a_topic_that_nothing_tells_of_stay() -> None:
    """Its own record and all that was remembered of it are damaged."""
    world, client = await started(**SMALL_SEGMENTS)
    await client.create("gone")
    await client.produced("gone", batch_of(b"dead"))
    await _commit(client, "g", "gone", 1)
    await client.create("kept")
    await client.produced("kept", batch_of(b"whole"))
    kept, gone = (world.gateway.broker.partition(name, 0) for name in ("kept", "gone"))
    assert kept is not None
    assert gone is not None
    await world.crash()
    snapshot = Snapshot(world)
    (created,) = [
        block
        for block in snapshot.blocks()
        if block.streams == {JOURNAL_STREAM_ID} and b"kept" in snapshot._objects[block.key]
    ]
    await snapshot.start(created)
    broker = world.gateway.broker
    assert broker.topics.named("kept") is None
    assert kept.stream_id in world.log.stream_ids()
    (entry,) = await world.log.read(kept.stream_id, 0, 1_000)
    assert b"whole" in bytes(entry.payload)
    # What is deleted goes all the same, also over a crash.
    client = world.client()
    assert await client.deleted_topics("gone") == [0]
    client = await world.restart()
    await asyncio.sleep(1)
    broker = world.gateway.broker
    assert kept.stream_id in world.log.stream_ids()
    assert gone.stream_id not in world.log.stream_ids()
    assert await client.create("kept") == [0]
    partition = broker.partition("kept", 0)
    assert partition is not None
    assert partition.stream_id > kept.stream_id, "its old records would be another topic's"
    await world.stop()


@virtual
async def test_records_of_a_stream_that_the_journal_has_lost_stay() -> None:
    """The block with its opening is damaged, and its first record with it; the others are whole."""
    world, client = await started(**SMALL_SEGMENTS)
    await client.create("kept")
    for value in (b"first", b"whole"):
        await client.produced("kept", batch_of(value))
    kept = world.gateway.broker.partition("kept", 0)
    assert kept is not None
    await world.crash()
    snapshot = Snapshot(world)
    opened = {JOURNAL_STREAM_ID, kept.stream_id}
    (damaged,) = [block for block in snapshot.blocks() if block.streams == opened]
    await snapshot.start(damaged)
    assert kept.stream_id in world.log.stream_ids()
    (entry,) = await world.log.read(kept.stream_id, 1, 1_000)
    assert b"whole" in bytes(entry.payload)
    await world.stop()
