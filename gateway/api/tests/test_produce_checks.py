"""What Produce makes sure of before it acknowledges: records are what their header says, times are
those of the records, and whatever that costs, order and other clients do not suffer.
"""

import asyncio
from struct import pack
from typing import Any

import pytest

from gateway.broker import batch_checks
from gateway.tests.harness import (
    EPOCH_MS,
    Client,
    batch_of,
    produce_request,
    started,
    virtual,
)
from protocol import (
    ApiKey,
    ErrorCode,
    Record,
    build_batch,
    crc_of,
    iter_records,
    read_header,
    record_check,
)
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)

HEADER_BYTES = 61
HOUR_MS = 3_600_000
MAX_TIMESTAMP = -3
CODECS = pytest.mark.parametrize("codec", range(5), ids=["none", "gzip", "snappy", "lz4", "zstd"])

pytestmark = pytest.mark.usefixtures("way")


def sealed(batch: bytearray) -> bytearray:
    """The batch with a checksum that fits what was changed in it."""
    batch[17:21] = crc_of(batch).to_bytes(4, "big")
    return batch


def with_max_time(batch: bytearray, time_ms: int) -> bytearray:
    batch[35:43] = pack(">q", time_ms)
    return sealed(batch)


def with_count(batch: bytearray, count: int) -> bytearray:
    batch[23:27] = pack(">i", count - 1)
    batch[57:61] = pack(">i", count)
    return sealed(batch)


def with_payload(payload: bytes, count: int, codec: int = 0) -> bytearray:
    batch = batch_of(b"", codec=codec)[:HEADER_BYTES] + payload
    batch[8:12] = pack(">i", len(batch) - 12)
    return with_count(batch, count)


def varied(count: int, codec: int = 0, **fields: Any) -> bytearray:
    """Records of which no two neighbours are alike: the dearest to look at."""
    records = [Record(timestamp_ms=EPOCH_MS, value=bytes(i % 7)) for i in range(count)]
    return build_batch(records, codec=codec, **fields)


async def listed(client: Client, time_ms: int) -> tuple[int, int]:
    asked = ListOffsetsPartition(partition_index=0, timestamp=time_ms, current_leader_epoch=-1)
    body = ListOffsetsRequest(
        replica_id=-1, topics=[ListOffsetsTopic(name="t", partitions=[asked])]
    )
    answer = (await client.call(ApiKey.LIST_OFFSETS, 7, body)).topics[0].partitions[0]
    assert answer.error_code == 0
    return answer.offset, answer.timestamp


# --- times ---------------------------------------------------------------------------------------


@CODECS
@pytest.mark.parametrize(
    "claimed_ms", [0, -1, EPOCH_MS - 10**10, EPOCH_MS + 10**10], ids=["0", "-1", "old", "ahead"]
)
@virtual
async def test_the_times_that_count_are_those_of_the_records(codec: int, claimed_ms: int) -> None:
    """Kept by retention, found by time, and the stored header says them; also after a crash."""
    world, client = await started()
    await client.create("t", configs={"retention.ms": str(HOUR_MS)})
    times = [EPOCH_MS, EPOCH_MS + 900, EPOCH_MS + 20]
    batch = with_max_time(batch_of(b"a", b"b", b"c", codec=codec, times=times), claimed_ms)
    assert (await client.produced("t", batch)).error_code == 0
    for _ in range(2):
        await world.gateway.retention.sweep()
        assert await listed(client, -2) == (0, -1)
        assert await listed(client, EPOCH_MS + 100) == (1, EPOCH_MS + 900)
        assert await listed(client, EPOCH_MS + 1_000) == (-1, -1)
        assert await listed(client, MAX_TIMESTAMP) == (1, EPOCH_MS + 900)
        stored = bytes((await client.fetched("t", 0)).records)
        assert read_header(stored).max_timestamp_ms == EPOCH_MS + 900
        assert read_header(stored).crc == crc_of(stored)
        await world.crash()
        client = await world.restart()
    await asyncio.sleep(2 * HOUR_MS / 1000)
    await world.gateway.retention.sweep()
    assert await listed(world.client(), -2) == (3, -1)


@CODECS
@pytest.mark.parametrize(
    ("name", "time_ms"),
    [
        ("message.timestamp.after.max.ms", EPOCH_MS + 60_001),
        ("message.timestamp.before.max.ms", EPOCH_MS - 60_001),
    ],
)
@virtual
async def test_limits_of_times_hold_for_each_record(codec: int, name: str, time_ms: int) -> None:
    _, client = await started()
    await client.create("t", configs={name: "60000"})
    edge_ms = time_ms + (1 if time_ms < EPOCH_MS else -1)
    fine = batch_of(b"a", b"b", codec=codec, times=[edge_ms, EPOCH_MS])
    assert (await client.produced("t", with_max_time(fine, EPOCH_MS + 10**9))).error_code == 0
    wrong = batch_of(b"a", b"b", b"c", codec=codec, times=[EPOCH_MS, time_ms, EPOCH_MS])
    answer = await client.produced("t", with_max_time(wrong, EPOCH_MS))
    assert answer.error_code == ErrorCode.INVALID_TIMESTAMP
    assert [e.batch_index for e in answer.record_errors] == [1]
    without = batch_of(b"a", b"b", codec=codec, times=[-1, -1])
    assert (await client.produced("t", without)).error_code == 0


# --- poison --------------------------------------------------------------------------------------


def _poison() -> dict[str, tuple[bytearray, int]]:
    good = batch_of(b"a", b"b", b"c")
    one = batch_of(b"a")[HEADER_BYTES:]
    packed = batch_of(*[b"abc"] * 50, codec=1)[HEADER_BYTES:]
    invalid, corrupt = ErrorCode.INVALID_RECORD, ErrorCode.CORRUPT_MESSAGE
    return {
        "fewer records": (with_count(good[:], 4), invalid),
        "more records": (with_count(good[:], 2), invalid),
        "two billion": (with_count(good[:], 2**31 - 1), invalid),
        "no records": (with_count(good[:], 0), invalid),
        "minus one": (with_count(good[:], -1), invalid),
        "same offsets": (with_payload(bytes(one) * 3, 3), invalid),
        "bytes behind": (with_payload(bytes(one) + b"more", 1), invalid),
        "a cut record": (with_payload(bytes(one)[:-1], 1), invalid),
        "empty": (with_payload(b"", 1), invalid),
        "cut compression": (with_payload(bytes(packed)[:-9], 50, codec=1), corrupt),
        "double compression": (
            with_payload(_packed_again(bytes(packed)), 50, codec=1),
            invalid,
        ),
        "another codec": (with_payload(bytes(packed), 50, codec=4), corrupt),
        "no codec": (_with_codec(good, 5), ErrorCode.UNSUPPORTED_COMPRESSION_TYPE),
        "not compressed": (_with_codec(good, 2), corrupt),
    }


def _packed_again(packed: bytes) -> bytes:
    import gzip

    return gzip.compress(packed)


def _with_codec(batch: bytearray, codec: int) -> bytearray:
    changed = batch[:]
    changed[22] = codec
    return sealed(changed)


@pytest.mark.parametrize("what", _poison())
@virtual
async def test_what_would_stop_a_consumer_is_refused(what: str) -> None:
    _, client = await started()
    await client.create("t", partitions=2)
    batch, code = _poison()[what]
    request = produce_request({("t", 0): batch, ("t", 1): batch_of(b"good")})
    reply = await client.call(ApiKey.PRODUCE, 9, request)
    assert [a.error_code for a in reply.responses[0].partition_responses] == [code, 0]
    assert (await client.produced("t", batch_of(b"next"))).base_offset == 0
    assert client.is_open


@pytest.mark.parametrize("good_count", [1, 200])
@virtual
async def test_good_batches_earn_no_trust(good_count: int) -> None:
    _, client = await started()
    await client.create("t")
    for _ in range(good_count):
        assert (await client.produced("t", batch_of(b"a", b"b"))).error_code == 0
    answer = await client.produced("t", with_count(batch_of(b"a", b"b"), 3))
    assert answer.error_code == ErrorCode.INVALID_RECORD


# --- keys on compacted topics --------------------------------------------------------------------


@CODECS
@pytest.mark.parametrize("policy", ["compact", "compact,delete", "delete"])
@virtual
async def test_compacted_topics_take_no_record_without_a_key(codec: int, policy: str) -> None:
    _, client = await started()
    await client.create("t", configs={"cleanup.policy": policy})
    keys = [b"k", None, b"", None]
    batch = build_batch(
        [Record(timestamp_ms=EPOCH_MS, key=k, value=b"v") for k in keys], codec=codec
    )
    answer = await client.produced("t", batch)
    if policy == "delete":
        assert answer.error_code == 0
        return
    assert answer.error_code == ErrorCode.INVALID_RECORD
    assert [e.batch_index for e in answer.record_errors] == [1, 3]
    assert "key" in answer.record_errors[0].batch_index_error_message
    assert "2 records" in answer.error_message
    with_keys = batch_of(b"a", b"b", codec=codec, key=b"k")
    assert (await client.produced("t", with_keys)).base_offset == 0


# --- what a check may cost -----------------------------------------------------------------------


@pytest.fixture
def long_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the Python code, for which tens of thousands of records are many; compiled code takes them
    in one step."""
    monkeypatch.setattr(record_check, "COMPILED", None)


@pytest.mark.parametrize("codec", range(1, 5))
@virtual
async def test_bombs_are_refused_and_what_is_large_is_not(codec: int) -> None:
    _, client = await started(decompressed_bytes_max=2**20)
    await client.create("t")
    too_large = await client.produced("t", batch_of(bytes(2**20), codec=codec))
    assert too_large.error_code == ErrorCode.MESSAGE_TOO_LARGE
    assert "decompressed_bytes_max" in too_large.error_message
    too_many = with_count(batch_of(b"x", codec=codec), 1_000_001)
    answer = await client.produced("t", too_many)
    assert answer.error_code == ErrorCode.MESSAGE_TOO_LARGE
    assert (await client.produced("t", batch_of(bytes(2**20 - 99), codec=codec))).base_offset == 0


@pytest.mark.usefixtures("long_checks")
@pytest.mark.parametrize("shape", ["compressed", "plain"])
@virtual
async def test_a_large_check_lets_others_go_on_and_keeps_the_order(shape: str) -> None:
    """Behind a batch that takes many turns come small ones: of the same connection they wait, of
    another they do not (I6).
    """
    world, client = await started()
    await client.create("t")
    other = world.client()
    turns_count = 0

    async def count_turns() -> None:
        nonlocal turns_count
        while True:
            await asyncio.sleep(0)
            turns_count += 1

    counter = asyncio.ensure_future(count_turns())
    fields = {"producer_id": 7, "producer_epoch": 0}
    large = varied(30_000, 4 if shape == "compressed" else 0, base_sequence=0, **fields)
    first = asyncio.ensure_future(client.produced("t", large))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(
        client.produced("t", batch_of(b"second", base_sequence=30_000, **fields))
    )
    quick = await other.produced("t", batch_of(b"quick"))
    assert quick.base_offset == 0
    assert not first.done()
    assert [(await a).base_offset for a in (first, second)] == [1, 30_001]
    assert turns_count > 20
    counter.cancel()
    values = [r.value for r in iter_records(bytes((await client.fetched("t", 30_001)).records))]
    assert values == [b"second"]


@pytest.mark.usefixtures("long_checks")
@virtual
async def test_a_topic_that_goes_during_the_check_takes_nothing() -> None:
    world, client = await started()
    await client.create("t")
    produced = asyncio.ensure_future(client.produced("t", varied(30_000)))
    for _ in range(5):
        await asyncio.sleep(0)
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None
    await world.gateway.broker.deletions.delete(topic)
    assert (await produced).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.usefixtures("long_checks")
@virtual
async def test_lanes_that_stay_taken_cost_a_code_that_clients_retry() -> None:
    world, client = await started()
    await client.create("t")
    for lane in world.gateway.broker.check_lanes._lanes:
        while not lane.places.locked():
            await lane.places.acquire()
    answer = await client.produced("t", varied(30_000))
    assert answer.error_code == ErrorCode.REQUEST_TIMED_OUT
    assert asyncio.get_running_loop().time() >= batch_checks.LANE_PATIENCE_S
    assert (await client.produced("t", batch_of(b"small"))).base_offset == 0
