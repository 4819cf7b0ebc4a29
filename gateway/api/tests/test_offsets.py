"""ListOffsets and OffsetForLeaderEpoch through the codec."""

import asyncio
from typing import Any

import pytest

from gateway.api.offsets import LOOKUPS_S_MAX
from gateway.tests.harness import Client, batch_of, started, virtual
from protocol import ApiKey, ErrorCode, read_header
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)

LATEST, EARLIEST, MAX_TIMESTAMP, EARLIEST_LOCAL, LATEST_TIERED = -1, -2, -3, -4, -5


async def _listed(
    client: Client, timestamp: int, *, topic: str = "t", version: int = 9, **fields: Any
) -> Any:
    asked = ListOffsetsPartition(
        partition_index=fields.pop("index", 0),
        timestamp=timestamp,
        current_leader_epoch=fields.pop("epoch", -1),
    )
    body = ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=[asked])], **fields
    )
    reply = await client.call(ApiKey.LIST_OFFSETS, version, body)
    return reply.topics[0].partitions[0]


async def _at(client: Client, timestamp: int) -> tuple[int, int]:
    found = await _listed(client, timestamp)
    assert found.error_code == 0
    return found.offset, found.timestamp


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("codec", range(5))
def test_the_exact_record_is_found_inside_a_batch(codec: int, restart: bool) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("t")
        await client.produced("t", batch_of(b"a", b"b", b"c", times=[100, 300, 200], codec=codec))
        await client.produced("t", batch_of(b"d", b"e", times=[150, 400], codec=codec))
        await client.produced("t", batch_of(b"f", times=[50], codec=codec))
        if restart:
            client = await world.restart()
        wanted = {
            0: (0, 100),
            100: (0, 100),
            101: (1, 300),
            300: (1, 300),
            301: (4, 400),
            400: (4, 400),
            401: (-1, -1),
            2**62: (-1, -1),
        }
        assert {ts: await _at(client, ts) for ts in wanted} == wanted
        assert await _at(client, EARLIEST) == (0, -1)
        assert await _at(client, LATEST) == (6, -1)
        assert await _at(client, MAX_TIMESTAMP) == (4, 400)
        assert await _at(client, EARLIEST_LOCAL) == (0, -1)
        assert await _at(client, LATEST_TIERED) == (-1, -1)
        assert world.epoch("t") == restart
        assert (await _listed(client, 300)).leader_epoch == 0

    body()


@virtual
async def test_an_empty_partition_has_a_beginning_and_an_end_but_no_times() -> None:
    _, client = await started()
    await client.create("t")
    wanted = {EARLIEST: (0, -1), LATEST: (0, -1), MAX_TIMESTAMP: (-1, -1), 0: (-1, -1)}
    assert {ts: await _at(client, ts) for ts in wanted} == wanted


@virtual
async def test_what_is_not_durable_is_not_counted() -> None:
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"a", times=[100]))
    world.objects.latency_s = 1.0
    client.produce("t", batch_of(b"b", times=[200]))
    await asyncio.sleep(0.5)
    other = world.client()
    assert await _at(other, LATEST) == (1, -1)
    assert await _at(other, 150) == (-1, -1)
    # The latest of what is durable, though a later one is on its way.
    assert await _at(other, MAX_TIMESTAMP) == (0, 100)
    await asyncio.sleep(1)
    assert await _at(other, MAX_TIMESTAMP) == (1, 200)


@virtual
async def test_special_times_are_asked_for_in_the_versions_that_know_them() -> None:
    _, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"x"))
    first_version = {LATEST: 1, EARLIEST: 1, MAX_TIMESTAMP: 7, EARLIEST_LOCAL: 8, LATEST_TIERED: 9}
    first_version[-6] = 11
    for timestamp in (*first_version, -7, -(2**63)):
        for version in range(1, 12):
            known = version >= first_version.get(timestamp, 12)
            answer = await _listed(client, timestamp, version=version)
            assert answer.error_code == (0 if known else ErrorCode.UNSUPPORTED_VERSION)
            assert known or (answer.offset, answer.timestamp) == (-1, -1)


@virtual
async def test_a_partition_asked_for_twice_is_refused_twice() -> None:
    _, client = await started()
    await client.create("t")
    twice = [ListOffsetsPartition(partition_index=0, timestamp=LATEST)] * 2
    body = ListOffsetsRequest(replica_id=-1, topics=[ListOffsetsTopic(name="t", partitions=twice)])
    for version in (1, 9):
        reply = await client.call(ApiKey.LIST_OFFSETS, version, body)
        found = [part.error_code for part in reply.topics[0].partitions]
        assert found == [ErrorCode.INVALID_REQUEST] * 2


@virtual
async def test_unknown_partitions_and_epochs_are_refused_one_by_one() -> None:
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"x"))
    client = await world.restart()
    term = world.epoch("t")
    assert (await _listed(client, LATEST, topic="u")).error_code == 3
    assert (await _listed(client, LATEST, index=1)).error_code == 3
    assert (await _listed(client, LATEST, epoch=term)).error_code == 0
    assert (await _listed(client, LATEST, epoch=term - 1)).error_code == 74
    refused = await _listed(client, LATEST, epoch=term + 1)
    assert (refused.error_code, refused.offset) == (75, -1)
    for isolation_level in (0, 1):
        assert (await _listed(client, LATEST, isolation_level=isolation_level)).offset == 1


@virtual
async def test_a_batch_that_does_not_decompress_fails_alone() -> None:
    """No producer gets it in; stored bytes may be anything all the same."""
    world, client = await started()
    await client.create("t")
    batch = batch_of(b"x" * 100, times=[100], codec=1)
    batch[61:] = bytes(len(batch) - 61)
    crc = __import__("protocol").crc_of(batch)
    batch[17:21] = crc.to_bytes(4, "big")
    partition = world.gateway.broker.partition("t", 0)
    assert partition is not None
    appended = partition.append(memoryview(batch), read_header(batch), 0, 0)
    assert appended.confirmation is not None
    await asyncio.wait_for(asyncio.shield(appended.confirmation), 10)
    found = await _listed(client, 50)
    assert found.error_code == ErrorCode.CORRUPT_MESSAGE
    assert (await _listed(client, LATEST)).offset == 1


@virtual
async def test_a_look_up_that_does_not_get_its_turn_times_out_before_the_client_does() -> None:
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"a", times=[100]))
    threads, share = world.gateway.lookups, world.gateway.lookups.share()
    busy = [asyncio.ensure_future(share.run(lambda: None)) for _ in range(2)]
    threads._lane.start = lambda work: asyncio.Future()  # type: ignore[method-assign]
    await asyncio.sleep(0)
    asked = [ListOffsetsPartition(partition_index=0, timestamp=when) for when in (50, LATEST)]
    body = ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name="t", partitions=[one]) for one in asked]
    )
    reply = await client.call(ApiKey.LIST_OFFSETS, 9, body)
    answers = [topic.partitions[0] for topic in reply.topics]
    assert [a.error_code for a in answers] == [ErrorCode.REQUEST_TIMED_OUT, ErrorCode.NONE]
    assert answers[1].offset == 1
    assert asyncio.get_running_loop().time() == pytest.approx(LOOKUPS_S_MAX, abs=1)
    for task in busy:
        task.cancel()


async def _epoch_end(client: Client, epoch: int, *, current: int = -1, topic: str = "t") -> Any:
    asked = OffsetForLeaderPartition(partition=0, current_leader_epoch=current, leader_epoch=epoch)
    body = OffsetForLeaderEpochRequest(
        replica_id=-1, topics=[OffsetForLeaderTopic(topic=topic, partitions=[asked])]
    )
    reply = await client.call(ApiKey.OFFSET_FOR_LEADER_EPOCH, 4, body)
    return reply.topics[0].partitions[0]


@virtual
async def test_where_epochs_ended_across_restarts() -> None:
    world, client = await started()
    await client.create("t")
    terms = []
    for count in (3, 0, 2):
        terms.append(world.epoch("t"))
        for _ in range(count):
            await client.produced("t", batch_of(b"x"))
        client = await world.restart()
    now = world.epoch("t")
    assert [*terms, now] == [0, 1, 2, 3]

    async def ask(epoch: int) -> tuple[int, int]:
        found = await _epoch_end(client, epoch)
        assert found.error_code == 0
        return found.leader_epoch, found.end_offset

    assert await ask(terms[0]) == (terms[0], 3)
    assert await ask(terms[1]) == (terms[0], 3)  # wrote nothing: the largest that did
    assert await ask(terms[2]) == (terms[2], 5)
    assert await ask(now) == (now, 5)
    assert await ask(now + 1) == (-1, -1)
    assert await ask(-1) == (-1, -1)
    assert (await _epoch_end(client, now, current=now - 1)).error_code == 74
    assert (await _epoch_end(client, now, current=now + 1)).error_code == 75
    assert (await _epoch_end(client, now, topic="u")).error_code == 3
    await client.produced("t", batch_of(b"x"))
    assert await ask(terms[2]) == (terms[2], 5)
    assert await ask(now) == (now, 6)


@virtual
async def test_of_a_topic_that_may_vanish_nothing_is_told() -> None:
    """A gateway that was fenced and does not know it may have one of a name that another has."""
    world, client = await started()
    world.objects.latency_s = 5.0
    creating = asyncio.ensure_future(world.client().create("t"))
    await asyncio.sleep(1)
    unknown = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    for _ in range(2):
        codes = {
            (await _listed(client, LATEST)).error_code,
            (await _epoch_end(client, 0)).error_code,
            (await client.fetched("t", 7)).error_code,
            (await client.deleted("t", -1)).error_code,
        }
        if creating.done():
            break
        assert codes == {unknown}
        await creating
    assert codes == {ErrorCode.NONE, ErrorCode.OFFSET_OUT_OF_RANGE}
