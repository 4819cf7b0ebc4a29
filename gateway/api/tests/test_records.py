"""DeleteRecords through the codec."""

import asyncio

import pytest

from gateway.broker.tests.test_owned_log import take_away
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.tests.harness import (
    Client,
    World,
    batch_of,
    fetch_request,
    loop_ms,
    started,
    virtual,
)
from protocol import ApiKey, ErrorCode
from protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from wal_core import Entry, Fenced

LATEST, EARLIEST, MAX_TIMESTAMP = -1, -2, -3


async def _filled(**config: object) -> tuple[World, Client]:
    """Topic t with offsets 0 to 9, two records a batch, times 0, 10, 20 and so on."""
    world, client = await started(**config)
    await client.create("t")
    for n in range(0, 100, 20):
        await client.produced("t", batch_of(b"%d" % n, b"%d" % (n + 10), times=[n, n + 10]))
    return world, client


async def _offset(client: Client, timestamp: int) -> int:
    asked = ListOffsetsPartition(timestamp=timestamp, current_leader_epoch=-1)
    body = ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name="t", partitions=[asked])]
    )
    found = (await client.call(ApiKey.LIST_OFFSETS, 9, body)).topics[0].partitions[0]
    assert found.error_code == 0
    offset: int = found.offset
    return offset


@pytest.mark.parametrize("version", range(3))
def test_deleting(version: int) -> None:
    @virtual
    async def body() -> None:
        _, client = await _filled()
        asked = DeleteRecordsPartition(partition_index=0, offset=4)
        topic = DeleteRecordsTopic(name="t", partitions=[asked])
        request = DeleteRecordsRequest(topics=[topic], timeout_ms=1_000)
        reply = await client.call(ApiKey.DELETE_RECORDS, version, request)
        answer = reply.topics[0].partitions[0]
        assert (reply.topics[0].name, answer.partition_index) == ("t", 0)
        assert (answer.error_code, answer.low_watermark) == (0, 4)
        assert (await _offset(client, EARLIEST), await _offset(client, LATEST)) == (4, 10)
        below = await client.fetched("t", 3)
        assert (below.error_code, below.log_start_offset) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
        found = await client.fetched("t", 4)
        assert (found.error_code, found.log_start_offset) == (0, 4)
        assert len(found.records)

    body()


@virtual
async def test_what_the_offset_may_be() -> None:
    world, client = await _filled()
    for offset, code, low in (
        (11, ErrorCode.OFFSET_OUT_OF_RANGE, -1),
        (-2, ErrorCode.OFFSET_OUT_OF_RANGE, -1),
        (2**63 - 1, ErrorCode.OFFSET_OUT_OF_RANGE, -1),
        (0, 0, 0),
        (6, 0, 6),
        (2, 0, 6),  # never back
        (6, 0, 6),
        (-1, 0, 10),
        (-1, 0, 10),
    ):
        answer = await client.deleted("t", offset)
        assert (answer.error_code, answer.low_watermark) == (code, low), offset
    assert (await client.fetched("t", 10)).error_code == 0
    assert (await client.produced("t", batch_of(b"x"))).base_offset == 10
    assert (await client.fetched("t", 10)).records
    # The journal has a record for each of the two that moved it, and the stream's beginning.
    assert world.log.end_offset(0) == 3


@virtual
async def test_what_cannot_be_deleted_from_and_what_can_in_one_request() -> None:
    world, client = await _filled()
    await client.create("kept", configs={"cleanup.policy": "compact"})
    await client.create("both", partitions=2, configs={"cleanup.policy": "compact, delete"})
    await world.append_group_records(0, [(b"\x00\x01k", b"v")])
    await client.produced("both", batch_of(b"a", b"b", b"c", key=b"k"), index=1)
    before = world.log.end_offset(0)

    def topic(name: str, *wanted: tuple[int, int]) -> DeleteRecordsTopic:
        partitions = [DeleteRecordsPartition(partition_index=i, offset=o) for i, o in wanted]
        return DeleteRecordsTopic(name=name, partitions=partitions)

    request = DeleteRecordsRequest(
        topics=[
            topic("none", (0, 0)),
            topic("t", (0, 4), (1, 0), (-1, 0)),
            topic("kept", (0, -1)),
            topic("both", (0, -1), (1, 1), (1, 2), (1, 1)),
            topic(OFFSETS_TOPIC, (0, -1)),
        ],
        timeout_ms=1_000,
    )
    reply = await client.call(ApiKey.DELETE_RECORDS, 2, request)
    unknown = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)
    assert [
        (topic.name, [(p.error_code, p.low_watermark) for p in topic.partitions])
        for topic in reply.topics
    ] == [
        ("none", [unknown]),
        ("t", [(0, 4), unknown, unknown]),
        ("kept", [(ErrorCode.POLICY_VIOLATION, -1)]),
        ("both", [(0, 0), (0, 2), (0, 2), (0, 2)]),
        (OFFSETS_TOPIC, [(ErrorCode.INVALID_TOPIC_EXCEPTION, -1)]),
    ]
    assert world.log.end_offset(0) == before + 1  # one record for all of it


@virtual
async def test_a_start_inside_a_batch_hides_its_first_records_from_every_search() -> None:
    world, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"a", b"b", b"c", times=[500, 300, 200]))
    await client.produced("t", batch_of(b"d", times=[100]))
    await client.produced("t", batch_of(b"e", b"f", times=[250, 400]))
    await client.produced("t", batch_of(b"g", times=[50]))
    asked = (0, 150, 201, 300, 350, 401, MAX_TIMESTAMP)
    assert [await _offset(client, t) for t in asked] == [0, 0, 0, 0, 0, 0, 0]
    for start, found in (
        (1, [1, 1, 1, 1, 5, -1, 5]),
        (2, [2, 2, 4, 5, 5, -1, 5]),
        (3, [3, 4, 4, 5, 5, -1, 5]),
        (5, [5, 5, 5, 5, 5, -1, 5]),
        (6, [6, -1, -1, -1, -1, -1, 6]),
        (7, [-1, -1, -1, -1, -1, -1, -1]),
    ):
        await client.deleted("t", start)
        assert [await _offset(client, t) for t in asked] == found, start
        # A reader gets the whole batch and skips what it did not ask for, as in Kafka.
        assert (await client.fetched("t", start)).error_code == 0
    await client.produced("t", batch_of(b"h", times=[70]))
    assert await _offset(client, MAX_TIMESTAMP) == 7
    client = await world.restart()
    assert await _offset(client, MAX_TIMESTAMP) == 7
    assert await _offset(client, EARLIEST) == 7


@virtual
async def test_the_latest_of_what_is_left_is_found_by_the_index_and_not_by_reading_all() -> None:
    world, client = await started()
    await client.create("t")
    for time in (100, 900, *range(200, 260), 500, *range(300, 320)):
        await client.produced("t", batch_of(b"x" * 10, times=[time]))
    await client.deleted("t", 2)
    log = world.log
    reads: list[int] = []
    original = log.read

    async def counting(stream_id: int, offset: int, bytes_max: int) -> list[Entry]:
        reads.append(offset)
        return await original(stream_id, offset, bytes_max)

    log.read = counting  # type: ignore[method-assign]
    assert await _offset(client, MAX_TIMESTAMP) == 62
    assert await _offset(client, 600) == -1
    assert reads == []


@virtual
async def test_a_batch_without_times_hides_no_record_that_has_one() -> None:
    world, client = await started()
    await client.create("t")
    now_ms = world.gateway.broker.now_ms()
    await client.produced("t", batch_of(b"a", times=[now_ms - 5_000]))
    await client.produced("t", batch_of(b"b", b"c", times=[-1, -1]))
    await client.produced("t", batch_of(b"d", times=[now_ms - 2_000]))
    await client.produced("t", batch_of(b"e", times=[-1]))
    assert await _offset(client, now_ms - 3_000) == 3
    assert await _offset(client, MAX_TIMESTAMP) == 3
    await client.deleted("t", 1)
    assert await _offset(client, MAX_TIMESTAMP) == 3


@virtual
async def test_the_start_moves_when_the_deletion_is_durable_and_not_before() -> None:
    world, client = await _filled()
    world.objects.latency_s = 1.0
    deleting = asyncio.ensure_future(client.deleted("t", 4))
    await asyncio.sleep(0.9)
    other = world.client()
    assert await _offset(other, EARLIEST) == 0
    assert (await other.fetched("t", 0)).error_code == 0
    await asyncio.sleep(0.2)
    assert deleting.done()
    assert await _offset(other, EARLIEST) == 4


@virtual
async def test_a_deletion_that_is_late_times_out_and_happens_later() -> None:
    world, client = await _filled()
    world.objects.latency_s = 2.0
    began_ms = loop_ms()
    answer = await client.deleted("t", 4, timeout_ms=500)
    assert (answer.error_code, answer.low_watermark) == (ErrorCode.REQUEST_TIMED_OUT, -1)
    assert loop_ms() - began_ms == pytest.approx(500)
    await asyncio.sleep(2)
    assert await _offset(client, EARLIEST) == 4


@pytest.mark.parametrize("timeout_ms", [0, -1])
def test_who_gives_no_time_is_told_when_it_is_durable(timeout_ms: int) -> None:
    """As by Kafka, whose leader needs none; librdkafka's `operation_timeout` may be 0."""

    @virtual
    async def body() -> None:
        world, client = await _filled()
        world.objects.latency_s = 2.0
        answer = await client.deleted("t", 4, timeout_ms=timeout_ms)
        assert (answer.error_code, answer.low_watermark) == (ErrorCode.NONE, 4)
        world.objects.latency_s = 20.0
        answer = await client.deleted("t", 6, timeout_ms=timeout_ms)
        assert answer.error_code == ErrorCode.REQUEST_TIMED_OUT

    body()


@virtual
async def test_a_second_request_for_the_same_is_answered_when_the_first_is_durable() -> None:
    world, client = await _filled()
    world.objects.latency_s = 1.0
    other = world.client()
    first = asyncio.ensure_future(client.deleted("t", 4))
    await asyncio.sleep(0.5)
    again = await other.deleted("t", 4)
    assert first.done()
    assert again.low_watermark == 4


@virtual
async def test_a_fetch_that_is_parked_below_the_start_is_told() -> None:
    world, client = await _filled()
    asked = fetch_request({("t", 0): 6}, wait_ms=60_000, min_bytes=1 << 20)
    parked = client.send(ApiKey.FETCH, 12, asked)
    at_end = world.client()
    waiting = at_end.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 10}, wait_ms=60_000))
    await asyncio.sleep(1)
    assert not parked.done()
    await world.client().deleted("t", -1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    part = parked.result().responses[0].partitions[0]
    assert (part.error_code, part.log_start_offset) == (ErrorCode.OFFSET_OUT_OF_RANGE, -1)
    assert not waiting.done()  # nothing is missing there
    await world.client().produced("t", batch_of(b"x"))
    await asyncio.sleep(0)
    assert waiting.result().responses[0].partitions[0].records


@virtual
async def test_the_topic_may_go_meanwhile() -> None:
    world, client = await _filled()
    world.objects.latency_s = 1.0
    deleting = asyncio.ensure_future(client.deleted("t", 4))
    await asyncio.sleep(0.5)
    await world.client().deleted_topics("t")
    answer = await deleting
    assert (answer.error_code, answer.low_watermark) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)


@virtual
async def test_a_log_that_was_taken_over_deletes_nothing() -> None:
    world, client = await _filled()
    other = World()
    other.objects, other.store = world.objects, world.store
    await other.start()
    answer = await client.deleted("t", 4)
    assert (answer.error_code, answer.low_watermark) == (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1)
    assert await _offset(client, EARLIEST) == 0
    assert await _offset(other.client(), EARLIEST) == 0


@virtual
async def test_of_several_logs_one_that_fails_fails_its_partitions_alone() -> None:
    for fail_while_written in (False, True):
        other = None
        world, client = await started(logs_count=3)
        await client.create("t", partitions=3)
        for index in range(3):
            await client.produced("t", batch_of(b"x", b"y"), index=index)
        lost = world.gateway.broker.partition("t", 1)
        assert lost is not None
        writer = world.gateway.broker.logs[lost.log_id].log._writer
        asked = [DeleteRecordsPartition(partition_index=index, offset=1) for index in range(3)]
        topic = DeleteRecordsTopic(name="t", partitions=asked)
        request = DeleteRecordsRequest(topics=[topic], timeout_ms=1_000)
        if fail_while_written:
            other = await take_away(world, lost.log_id)
        else:
            writer.fail(Fenced("another has it"), announce=False)
        answers = (await client.call(ApiKey.DELETE_RECORDS, 2, request)).topics[0].partitions
        told = [(answer.error_code, answer.low_watermark) for answer in answers]
        assert told == [(0, 1), (ErrorCode.NOT_LEADER_OR_FOLLOWER, -1), (0, 1)]
        if other is not None:
            await other.close()
        await world.stop()
