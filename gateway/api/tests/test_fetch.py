"""Fetch through the codec: what is returned, what is waited for, what is refused."""

import asyncio

import pytest

from gateway.tests.harness import (
    Client,
    World,
    batch_of,
    fetch_request,
    loop_ms,
    started,
    virtual,
)
from protocol import ApiKey, ErrorCode, iter_records, read_header
from protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, PartitionData
from wal_core.testing.faulty_object_store import Fault, Planned


def _bases(part: PartitionData) -> list[int]:
    """Base offsets of the whole batches in an answer."""
    raw, at, found = bytes(part.records), 0, []
    while at < len(raw):
        header = read_header(raw, at)
        found.append(header.base_offset)
        at += header.total_bytes
    assert at == len(raw), "a batch was cut"
    return found


async def _filled(world: World, client: Client, *sizes: int, partitions: int = 1) -> None:
    await client.create("t", partitions=partitions)
    for index in range(partitions):
        for size in sizes:
            assert (await client.produced("t", batch_of(bytes(size)), index=index)).error_code == 0


# --- what is returned ----------------------------------------------------------------------------


@virtual
async def test_an_offset_inside_a_batch_gives_the_whole_batch() -> None:
    _, client = await started()
    await client.create("t")
    await client.produced("t", batch_of(b"a", b"b", b"c"))
    await client.produced("t", batch_of(b"d", b"e"))
    assert _bases(await client.fetched("t", 1)) == [0, 3]
    assert _bases(await client.fetched("t", 4)) == [3]


@virtual
async def test_nothing_is_zero_bytes_and_never_null() -> None:
    """librdkafka takes null for a parse failure."""
    _, client = await started()
    await client.create("t")
    for version in (4, 11, 12):
        reply = await client.call(ApiKey.FETCH, version, fetch_request({("t", 0): 0}))
        part = reply.responses[0].partitions[0]
        assert part.records is not None
        assert bytes(part.records) == b""
        assert (part.high_watermark, part.last_stable_offset, part.error_code) == (0, 0, 0)


@pytest.mark.parametrize("restart", [False, True])
def test_a_first_batch_larger_than_every_limit_comes_whole(restart: bool) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        await _filled(world, client, 100_000, 10)
        if restart:  # then from storage, else from memory
            client = await world.restart()
        for limits in ({"bytes_max": 1}, {"partition_bytes_max": 1}, {"bytes_max": 0}):
            assert _bases(await client.fetched("t", 0, **limits)) == [0]

    body()


@virtual
async def test_the_limit_of_a_partition_and_of_the_reply_hold() -> None:
    world, client = await started()
    await _filled(world, client, *[900] * 10, partitions=4)
    part = await client.fetched("t", 0, partition_bytes_max=2_500)
    assert len(_bases(part)) == 2
    offsets = {("t", index): 0 for index in range(4)}
    reply = await client.call(ApiKey.FETCH, 12, fetch_request(offsets, bytes_max=5_000))
    parts = reply.responses[0].partitions
    assert 0 < sum(len(p.records) for p in parts) <= 5_000
    assert all(p.high_watermark == 10 for p in parts)


@virtual
async def test_only_the_very_first_batch_may_exceed_the_limit() -> None:
    world, client = await started()
    await _filled(world, client, 10_000, partitions=3)
    offsets = {("t", index): 0 for index in range(3)}
    reply = await client.call(ApiKey.FETCH, 12, fetch_request(offsets, bytes_max=5_000))
    sizes = [len(p.records) for p in reply.responses[0].partitions]
    assert sorted(map(bool, sizes)) == [False, False, True]


@virtual
async def test_only_durable_records_are_seen() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 1.0
    client.produce("t", batch_of(b"x"))
    await asyncio.sleep(0.5)
    part = await world.client().fetched("t", 0)
    assert (part.high_watermark, bytes(part.records)) == (0, b"")
    assert loop_ms() == pytest.approx(500)


@virtual
async def test_every_record_is_read_once_in_small_steps_from_memory_and_storage() -> None:
    world, client = await started(segment_bytes_max=65_536, block_bytes_max=4_096)
    await client.create("t")
    batches = [[b"%d-%d" % (n, i) * (n % 50 + 1) for i in range(n % 4 + 1)] for n in range(400)]
    for values in batches:
        assert (
            await client.produced("t", batch_of(*values, codec=n_codec(values)))
        ).error_code == 0
    expected = [value for values in batches for value in values]
    for round_number in range(2):
        for bytes_max in (1, 5_000, 1 << 20):
            found, offset = [], 0
            while True:
                part = await client.fetched("t", offset, partition_bytes_max=bytes_max)
                if not part.records:
                    break
                raw, at = bytes(part.records), 0
                while at < len(raw):
                    size = read_header(raw, at).total_bytes
                    for record in iter_records(raw[at : at + size]):
                        assert record.offset == len(found)
                        found.append(record.value)
                    at += size
                offset = len(found)
            assert found == expected
        if round_number == 0:
            client = await world.restart()


def n_codec(values: list[bytes]) -> int:
    return (0, 1, 2, 3, 4)[len(values[0]) % 5]


# --- waiting -------------------------------------------------------------------------------------


@virtual
async def test_data_that_is_there_is_not_waited_for() -> None:
    world, client = await started()
    await _filled(world, client, 10)
    began_ms = loop_ms()
    assert _bases(await client.fetched("t", 0, wait_ms=5_000)) == [0]
    assert loop_ms() == began_ms


@virtual
async def test_an_empty_answer_waits_its_full_time() -> None:
    world, client = await started()
    await _filled(world, client, 10)
    for wait_ms in (0, 1, 700):
        began_ms = loop_ms()
        assert _bases(await client.fetched("t", 1, wait_ms=wait_ms)) == []
        assert loop_ms() - began_ms == pytest.approx(wait_ms)


@pytest.mark.parametrize("version", [4, 7, 12, 17])
def test_a_fetch_of_no_partition_is_answered_at_once(version: int) -> None:
    """There is nothing it could wait for; consumers close their sessions with it."""

    @virtual
    async def body() -> None:
        _, client = await started()
        for asked in ({}, {"topics": [FetchTopic(topic="t" * (version < 13))]}):
            request = FetchRequest(
                max_wait_ms=60_000, min_bytes=1, max_bytes=1 << 20, session_epoch=-1, **asked
            )
            reply = await client.call(ApiKey.FETCH, version, request)
            assert reply.error_code == 0
        assert loop_ms() == 0

    body()


@virtual
async def test_less_than_min_bytes_waits_for_more_and_gives_what_there_is() -> None:
    world, client = await started()
    await _filled(world, client, 1_000)
    other = world.client()
    fetch = asyncio.ensure_future(client.fetched("t", 0, wait_ms=5_000, min_bytes=2_500))
    await asyncio.sleep(1)
    await other.produced("t", batch_of(bytes(1_000)))
    await asyncio.sleep(1)
    assert not fetch.done()
    await other.produced("t", batch_of(bytes(1_000)))
    assert _bases(await fetch) == [0, 1, 2]
    began_ms = loop_ms()
    found = await client.fetched("t", 0, wait_ms=300, min_bytes=1 << 20)
    assert _bases(found) == [0, 1, 2]
    assert loop_ms() - began_ms == pytest.approx(300)


@virtual
async def test_an_error_in_one_partition_answers_at_once() -> None:
    _, client = await started()
    await client.create("t")
    began_ms = loop_ms()
    request = fetch_request({("t", 0): 0, ("t", 9): 0, ("u", 0): 0}, wait_ms=60_000)
    reply = await client.call(ApiKey.FETCH, 12, request)
    codes = [p.error_code for t in reply.responses for p in t.partitions]
    assert codes == [0, 3, 3]
    assert loop_ms() == began_ms


@virtual
async def test_deleting_the_topic_wakes_whoever_waits_on_it() -> None:
    world, client = await started()
    await client.create("t", "u")
    request = fetch_request({("t", 0): 0, ("u", 0): 0}, wait_ms=60_000)
    fetch = client.send(ApiKey.FETCH, 12, request)
    await world.client().deleted_topics("t")
    reply = await fetch
    codes = {t.topic: t.partitions[0].error_code for t in reply.responses}
    assert codes == {"t": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "u": 0}
    assert loop_ms() < 100


@virtual
async def test_a_waiting_fetch_leaves_nothing_behind() -> None:
    world, client = await started()
    await client.create("t")
    partition = world.gateway.broker.partition("t", 0)
    assert partition is not None
    for wait_ms in (10, 50_000):
        fetch = client.send(ApiKey.FETCH, 12, fetch_request({("t", 0): 0}, wait_ms=wait_ms))
        await asyncio.sleep(0.005)
        assert len(partition.waiters) == 1
        if wait_ms == 10:
            await fetch
        else:
            client.transport.lose()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not partition.waiters


@virtual
async def test_a_crowd_of_waiters_is_served_by_one_append() -> None:
    world, client = await started()
    await client.create("t")
    crowd = [world.client() for _ in range(200)]
    request = fetch_request({("t", 0): 0}, wait_ms=60_000)
    fetches = [c.send(ApiKey.FETCH, 12, request) for c in crowd]
    await asyncio.sleep(1)
    await client.produced("t", batch_of(b"x"))
    replies = await asyncio.gather(*fetches)
    assert {p.high_watermark for r in replies for p in r.responses[0].partitions} == {1}
    assert loop_ms() < 1_100


# --- refusals ------------------------------------------------------------------------------------


@virtual
async def test_offsets_outside_the_log_are_out_of_range_and_its_end_is_not() -> None:
    world, client = await started()
    await _filled(world, client, 10, 10)
    for offset, code in ((2, 0), (3, 1), (-1, 1), (2**62, 1), (-(2**63), 1), (0, 0)):
        part = await client.fetched("t", offset)
        assert part.error_code == code
        told = (part.high_watermark, part.last_stable_offset, part.log_start_offset)
        assert told == ((-1, -1, -1) if code else (2, 2, 0))
        assert part.aborted_transactions is None
    unknown = await client.fetched("t", 0, index=7)
    assert (unknown.error_code, unknown.aborted_transactions) == (3, [])


@virtual
async def test_leader_epochs_are_checked() -> None:
    """KIP-320: older is fenced, newer must wait, none is fine."""
    world, client = await started()
    await _filled(world, client, 10)
    client = await world.restart()
    term = world.epoch("t")
    assert term == 1
    for epoch, code in ((-1, 0), (term, 0), (term - 1, 74), (term + 1, 75)):
        assert (await client.fetched("t", 0, epoch=epoch)).error_code == code


@virtual
async def test_a_reader_from_another_history_is_told_where_they_part() -> None:
    world, client = await started()
    await _filled(world, client, 10, 10, 10)
    old_term = world.epoch("t")
    client = await world.restart()
    await client.produced("t", batch_of(b"x"))
    part = await client.fetched("t", 3, last_epoch=old_term)
    assert (part.error_code, _bases(part)) == (0, [3])
    assert part.diverging_epoch is None
    part = await client.fetched("t", 4, last_epoch=old_term)
    assert part.diverging_epoch.epoch == old_term
    assert part.diverging_epoch.end_offset == 3
    assert bytes(part.records) == b""
    part = await client.fetched("t", 4, last_epoch=old_term + 7)  # nobody has heard of it
    assert part.error_code == ErrorCode.OFFSET_OUT_OF_RANGE


@virtual
async def test_who_speaks_of_a_session_that_there_is_not_is_told() -> None:
    """KIP-227; and where none are kept, whoever wants one reads without."""
    _, client = await started(fetch_sessions_max_count=0)
    await client.create("t")
    for session, code in (
        ((0, -1), 0),
        ((0, 0), 0),
        ((5, -1), 0),
        ((5, 0), 0),
        ((5, 1), ErrorCode.FETCH_SESSION_ID_NOT_FOUND),
        ((0, 1), ErrorCode.FETCH_SESSION_ID_NOT_FOUND),
    ):
        request = fetch_request({("t", 0): 0}, session=session)
        reply = await client.call(ApiKey.FETCH, 12, request)
        assert (reply.error_code, reply.session_id) == (code, 0)


@virtual
async def test_topic_ids_are_what_counts_from_version_13_on() -> None:
    world, client = await started()
    await _filled(world, client, 10)
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None

    async def by_id(topic_id: bytes, index: int = 0) -> PartitionData:
        asked = FetchPartition(partition=index, fetch_offset=0, partition_max_bytes=1 << 20)
        body = FetchRequest(
            max_bytes=1 << 20,
            session_epoch=-1,
            topics=[FetchTopic(topic_id=topic_id, partitions=[asked])],
        )
        reply = await client.call(ApiKey.FETCH, 17, body)
        assert reply.responses[0].topic_id == topic_id
        found: PartitionData = reply.responses[0].partitions[0]
        return found

    assert _bases(await by_id(topic.id)) == [0]
    assert (await by_id(topic.id, 5)).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert (await by_id(b"\x01" * 16)).error_code == ErrorCode.UNKNOWN_TOPIC_ID
    old_id = topic.id
    await client.deleted_topics("t")
    await client.create("t")
    assert (await by_id(old_id)).error_code == ErrorCode.UNKNOWN_TOPIC_ID


@virtual
async def test_isolation_levels_see_the_same_without_transactions() -> None:
    world, client = await started()
    await _filled(world, client, 10)
    for level, aborted in ((0, None), (1, [])):
        part = await client.fetched("t", 0, isolation_level=level)
        assert (part.last_stable_offset, part.aborted_transactions) == (1, aborted)


@virtual
async def test_storage_that_cannot_be_read_is_an_error_of_that_partition_alone() -> None:
    world, client = await started(tail_cache_bytes=0, store_timeout_ms=1_000)
    await _filled(world, client, 100)
    await client.create("u")
    await client.produced("u", batch_of(b"y"))
    client = await world.restart()
    world.objects.plan += [Planned("get_range", "", Fault.BEFORE)]
    request = fetch_request({("t", 0): 0, ("u", 0): 0}, wait_ms=60_000)
    reply = await client.call(ApiKey.FETCH, 12, request)
    codes = sorted(t.partitions[0].error_code for t in reply.responses)
    assert codes == [0, ErrorCode.KAFKA_STORAGE_ERROR]
    reply = await client.call(ApiKey.FETCH, 12, request)
    assert [t.partitions[0].error_code for t in reply.responses] == [0, 0]


@virtual
async def test_damage_is_told_in_the_log_once_a_place(caplog: pytest.LogCaptureFixture) -> None:
    world, client = await started(tail_cache_bytes=0, block_cache_bytes=0)
    await client.create("t")
    for _ in range(2):
        await client.produced("t", batch_of(b"needle" * 50))
    client = await world.restart()
    objects = world.objects.inner.objects
    for key in [key for key, body in objects.items() if b"needle" in body]:
        objects[key] = objects[key].replace(b"needle", b"nettle")
    for offset in (0, 0, 1, 0):
        part = await client.fetched("t", offset)
        assert part.error_code == ErrorCode.KAFKA_STORAGE_ERROR
    told = [r for r in caplog.records if r.getMessage() == "stored records cannot be read"]
    reasons = [r.event_fields["reason"] for r in told]  # type: ignore[attr-defined]
    assert len(set(reasons)) == len(reasons) == 2
    assert all("CRC-32C" in reason for reason in reasons)
