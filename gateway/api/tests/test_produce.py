"""Produce and InitProducerId through the codec, over stores that fail."""

import asyncio

import pytest

from gateway.api.produce import ACKS_ONE_PATIENCE_MS
from gateway.tests.harness import (
    EPOCH_MS,
    Client,
    World,
    batch_of,
    loop_ms,
    produce_request,
    started,
    virtual,
)
from protocol import ApiKey, ErrorCode, iter_records, read_header
from protocol.messages.init_producer_id import InitProducerIdRequest
from protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from wal_core.testing.faulty_object_store import Fault, Planned

pytestmark = pytest.mark.usefixtures("way")


def _idempotent(sequence: int, *values: bytes, epoch: int = 0, pid: int = 7) -> bytearray:
    return batch_of(*values, producer_id=pid, producer_epoch=epoch, base_sequence=sequence)


async def _code(client: Client, batch: bytes | bytearray, **fields: object) -> int:
    return (await client.produced("t", batch, **fields)).error_code


# --- what is stored ------------------------------------------------------------------------------


@virtual
async def test_batches_are_stored_as_sent_but_for_offset_and_epoch() -> None:
    world, client = await started()
    await client.create("t")
    batch = batch_of(b"a", b"b", codec=1)
    assert (await client.produced("t", batch)).base_offset == 0
    answer = await client.produced("t", batch)
    assert (answer.base_offset, answer.log_start_offset) == (2, 0)
    assert answer.log_append_time_ms == -1
    stored = bytes((await client.fetched("t", 2)).records)
    header = read_header(stored)
    assert header.base_offset == 2
    assert header.partition_leader_epoch == world.epoch("t") == 0
    assert stored[16:] == bytes(batch[16:])


@virtual
async def test_log_append_time_is_the_brokers() -> None:
    _, client = await started()
    await client.create("t", configs={"message.timestamp.type": "LogAppendTime"})
    await asyncio.sleep(5)
    answer = await client.produced("t", batch_of(b"a", b"b", times=[1, 2]))
    assert answer.log_append_time_ms == EPOCH_MS + 5_000
    records = iter_records(bytes((await client.fetched("t", 0)).records))
    assert {r.timestamp_ms for r in records} == {EPOCH_MS + 5_000}


@virtual
async def test_one_bad_partition_harms_no_other() -> None:
    _, client = await started()
    await client.create("t", partitions=3)
    bad = batch_of(b"bad")
    bad[-1] ^= 1
    request = produce_request(
        {
            ("t", 0): batch_of(b"good"),
            ("t", 1): bad,
            ("t", 2): batch_of(b"good"),
            ("t", 3): batch_of(b"no such partition"),
            ("u", 0): batch_of(b"no such topic"),
        }
    )
    reply = await client.call(ApiKey.PRODUCE, 9, request)
    codes = [[p.error_code for p in t.partition_responses] for t in reply.responses]
    assert codes == [[0, ErrorCode.CORRUPT_MESSAGE, 0, 3], [3]]
    offsets = [p.base_offset for p in reply.responses[0].partition_responses]
    assert offsets == [0, -1, 0, -1]


@virtual
async def test_a_bug_met_in_one_partition_is_answered_there_alone() -> None:
    """What the request appended before it is acknowledged, or the client would send it again."""
    world, client = await started()
    await client.create("t", partitions=3)
    broken = world.gateway.broker.partition("t", 1)
    assert broken is not None
    broken._state.producers = None  # type: ignore[assignment]
    batch = _idempotent(0, b"x")
    request = produce_request({("t", 0): batch, ("t", 1): batch, ("t", 2): batch})
    reply = await client.call(ApiKey.PRODUCE, 9, request)
    codes = [p.error_code for p in reply.responses[0].partition_responses]
    assert codes == [0, ErrorCode.UNKNOWN_SERVER_ERROR, 0]


def _wrong_crc() -> bytes:
    batch = batch_of(b"flipped")
    batch[-1] ^= 1
    return bytes(batch)


def _second_batch() -> bytes:
    return bytes(batch_of(b"a") + batch_of(b"b"))


@pytest.mark.parametrize(
    ("records", "code"),
    [
        (b"", ErrorCode.INVALID_RECORD),
        (b"short", ErrorCode.INVALID_RECORD),
        (None, ErrorCode.INVALID_RECORD),
        (bytes(batch_of(b"cut"))[:-1], ErrorCode.INVALID_RECORD),
        (_wrong_crc(), ErrorCode.CORRUPT_MESSAGE),
        (bytes(batch_of(b"more")) + b"x", ErrorCode.INVALID_RECORD),
        (_second_batch(), ErrorCode.INVALID_RECORD),
        (bytes(batch_of(b"t", is_transactional=True)), ErrorCode.INVALID_RECORD),
        (bytes(batch_of(b"c", is_control=True)), ErrorCode.INVALID_RECORD),
        (bytes(batch_of(b"x" * 70_000)), ErrorCode.MESSAGE_TOO_LARGE),
    ],
    ids=["empty", "short", "null", "cut", "crc", "more", "two", "txn", "control", "large"],
)
def test_malformed_batches_get_their_code_and_harm_nobody(records: bytes, code: int) -> None:
    @virtual
    async def body() -> None:
        _, client = await started(message_bytes_max=65_536)
        await client.create("t", partitions=2)
        data = [
            PartitionProduceData(index=0, records=bytes(batch_of(b"good"))),
            PartitionProduceData(index=1, records=records),
        ]
        request = ProduceRequest(
            acks=-1,
            timeout_ms=1_000,
            topic_data=[TopicProduceData(name="t", partition_data=data)],
        )
        reply = await client.call(ApiKey.PRODUCE, 9, request)
        answers = reply.responses[0].partition_responses
        assert [a.error_code for a in answers] == [0, code]
        assert client.is_open

    body()


@virtual
async def test_a_timestamp_far_ahead_is_refused_where_the_topic_says_so() -> None:
    """message.timestamp.after.max.ms: any by default, as in Kafka 3.9."""
    _, client = await started()
    await client.create("t", configs={"message.timestamp.after.max.ms": "3600000"})
    await client.create("any")
    await client.create("own", configs={"message.timestamp.type": "LogAppendTime"})
    hour_ms = 3_600_000
    for topic, ahead_ms, expected in (
        ("t", hour_ms, ErrorCode.NONE),
        ("t", hour_ms + 1_000, ErrorCode.INVALID_TIMESTAMP),
        ("any", hour_ms * 1_000, ErrorCode.NONE),
        ("own", hour_ms * 1_000, ErrorCode.NONE),
    ):
        batch = batch_of(b"x", times=[EPOCH_MS + ahead_ms])
        reply = await client.call(ApiKey.PRODUCE, 9, produce_request({(topic, 0): batch}))
        answer = reply.responses[0].partition_responses[0]
        assert (topic, answer.error_code) == (topic, expected)


@virtual
async def test_a_batch_may_have_any_timestamp_or_none() -> None:
    """As in Kafka; and one that no index holds must not fail its neighbours in the request."""
    _, client = await started()
    longest = {"message.timestamp.after.max.ms": str(2**63 - 1)}
    await client.create("t", partitions=2, configs=longest)
    for time_ms in (-1, -2, -(2**63), 2**63 - 1):
        batches = {("t", 0): batch_of(b"x", times=[time_ms]), ("t", 1): batch_of(b"x")}
        reply = await client.call(ApiKey.PRODUCE, 9, produce_request(batches))
        answers = reply.responses[0].partition_responses
        assert [a.error_code for a in answers] == [0, 0]


@virtual
async def test_what_a_request_may_not_ask_for() -> None:
    _, client = await started()
    await client.create("t")
    request = produce_request({("t", 0): batch_of(b"x")}, acks=2)
    reply = await client.call(ApiKey.PRODUCE, 9, request)
    answer = reply.responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.INVALID_REQUIRED_ACKS
    request = produce_request({("t", 0): batch_of(b"x")})
    request.transactional_id = "tx"
    reply = await client.call(ApiKey.PRODUCE, 9, request)
    answer = reply.responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    for version in (0, 1, 2):
        request = produce_request({("t", 0): batch_of(b"x")})
        reply = await client.call(ApiKey.PRODUCE, version, request)
        answer = reply.responses[0].partition_responses[0]
        assert answer.error_code == ErrorCode.UNSUPPORTED_VERSION
    zstd = produce_request({("t", 0): batch_of(b"x", codec=4)})
    for version, code in ((6, ErrorCode.UNSUPPORTED_COMPRESSION_TYPE), (7, 0)):
        reply = await client.call(ApiKey.PRODUCE, version, zstd)
        assert reply.responses[0].partition_responses[0].error_code == code


@virtual
async def test_nobody_writes_to_the_internal_topic() -> None:
    world, client = await started()
    await world.append_group_records(0, [(b"\x00\x01k", b"v")])
    answer = await client.produced("__consumer_offsets", batch_of(b"x"))
    assert answer.error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


# --- idempotent producers ------------------------------------------------------------------------


@virtual
async def test_sequences_are_per_partition_and_repeats_get_their_offset() -> None:
    _, client = await started()
    await client.create("t", partitions=2)
    for index in (0, 1):
        assert (
            await client.produced("t", _idempotent(0, b"a", b"b"), index=index)
        ).base_offset == 0
    assert (await client.produced("t", _idempotent(2, b"c"), index=1)).base_offset == 2
    repeat = await client.produced("t", _idempotent(0, b"a", b"b"), index=1)
    assert (repeat.error_code, repeat.base_offset) == (0, 0)
    assert await _code(client, _idempotent(3, b"d"), index=0) == 45
    assert await _code(client, _idempotent(0, b"x", epoch=1)) == 0
    assert await _code(client, _idempotent(2, b"x", epoch=0)) == 47
    assert (await client.fetched("t", 0)).high_watermark == 3


@virtual
async def test_producer_state_survives_a_crash() -> None:
    world, client = await started()
    await client.create("t")
    for n in range(7):
        assert await _code(client, _idempotent(n, b"x")) == 0
    client = await world.restart()
    for n in (2, 4, 6):
        assert (await client.produced("t", _idempotent(n, b"x"))).base_offset == n
    assert await _code(client, _idempotent(8, b"x")) == 45
    assert (await client.produced("t", _idempotent(7, b"x"))).base_offset == 7


@virtual
async def test_the_retry_of_a_pending_batch_waits_for_the_same_block() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 2.0
    first = client.produce("t", _idempotent(0, b"x"), timeout_ms=500)
    await asyncio.sleep(0.6)
    answer = first.result().responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.REQUEST_TIMED_OUT
    retry = client.produce("t", _idempotent(0, b"x"))
    await asyncio.sleep(0.5)
    assert not retry.done()  # not durable yet: no ack (I1)
    answer = (await retry).responses[0].partition_responses[0]
    assert (answer.error_code, answer.base_offset) == (0, 0)
    assert loop_ms() == pytest.approx(2_000, abs=20)
    assert (await client.fetched("t", 0)).high_watermark == 1


@virtual
async def test_the_retry_of_a_batch_that_failed_for_good_is_not_acknowledged() -> None:
    """Its state is kept, but what it describes never became durable."""
    world, client = await started()
    await client.create("t")
    other = World()
    other.objects, other.store = world.objects, world.store
    await other.start()  # fences the first gateway
    assert await _code(client, _idempotent(0, b"x")) == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert await _code(client, _idempotent(0, b"x")) == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert await _code(client, _idempotent(1, b"y")) == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert await _code(client, batch_of(b"z")) == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert (await other.client().fetched("t", 0)).high_watermark == 0


# --- stores that fail ----------------------------------------------------------------------------


@virtual
async def test_a_store_that_is_away_costs_a_code_that_clients_retry() -> None:
    """And a confirmation that comes later harms nothing."""
    world, client = await started()
    await client.create("t")
    world.objects.plan += [Planned("create", "", Fault.BEFORE)] * 8
    answer = await client.produced("t", batch_of(b"x"), timeout_ms=300)
    assert answer.error_code == ErrorCode.REQUEST_TIMED_OUT
    assert (answer.base_offset, answer.log_start_offset) == (-1, -1)
    assert loop_ms() == pytest.approx(300)
    found = await client.fetched("t", 0)
    assert (found.error_code, found.high_watermark) == (0, 0)  # nothing is shown before (I1)
    await asyncio.sleep(60)
    assert (await client.fetched("t", 0)).high_watermark == 1
    assert (await client.produced("t", batch_of(b"y"))).base_offset == 1
    assert [r.correlation_id for r in client.replies] == list(range(1, 6))


@pytest.mark.parametrize("timeout_ms", [-1, 0, 1, 100])
def test_acks_1_is_answered_when_it_is_stored_whatever_its_timeout(timeout_ms: int) -> None:
    """Kafka's leader looks at the timeout for acks=all alone."""

    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("t")
        world.objects.latency_s = 0.3
        answer = await client.produced("t", batch_of(b"x"), acks=1, timeout_ms=timeout_ms)
        assert (answer.error_code, answer.base_offset) == (0, 0)
        answer = await client.produced("t", batch_of(b"x"), acks=-1, timeout_ms=timeout_ms)
        assert answer.error_code == ErrorCode.REQUEST_TIMED_OUT

    body()


@virtual
async def test_acks_1_is_not_waited_for_for_ever() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 10_000.0
    answer = await client.produced("t", batch_of(b"x"), acks=1, timeout_ms=0)
    assert answer.error_code == ErrorCode.REQUEST_TIMED_OUT
    assert loop_ms() == pytest.approx(ACKS_ONE_PATIENCE_MS)


@virtual
async def test_a_hiccup_shorter_than_the_timeout_is_invisible() -> None:
    world, client = await started()
    await client.create("t")
    for fault in (Fault.BEFORE, Fault.AFTER, Fault.HANG, Fault.HANG_AFTER, Fault.LATE):
        world.objects.plan.append(Planned("create", "", fault))
        assert await _code(client, batch_of(b"x")) == 0
    assert (await client.fetched("t", 0)).high_watermark == 5
    await asyncio.sleep(10)
    client = await world.restart()
    assert (await client.fetched("t", 0)).high_watermark == 5


@virtual
async def test_more_than_the_log_may_hold_is_a_storage_error() -> None:
    world, client = await started()
    await client.create("t")
    world.objects.latency_s = 1.0
    log = world.log
    first = client.produce("t", batch_of(b"x"))
    await asyncio.sleep(0.1)
    allowance = log._writer._allowance
    allowance.bytes_max = allowance.part_bytes = 200
    assert await _code(client, _idempotent(0, b"y" * 50)) == ErrorCode.KAFKA_STORAGE_ERROR
    await first
    # The refused batch left no trace: its sequence is still due.
    assert (await client.produced("t", _idempotent(0, b"y" * 50))).base_offset == 1


# --- InitProducerId ------------------------------------------------------------------------------


async def _producer_id(client: Client) -> int:
    reply = await client.call(ApiKey.INIT_PRODUCER_ID, 4, InitProducerIdRequest())
    assert (reply.error_code, reply.producer_epoch) == (0, 0)
    found: int = reply.producer_id
    return found


@virtual
async def test_producer_ids_are_never_given_twice() -> None:
    world, client = await started()
    seen = [await _producer_id(client) for _ in range(1_500)]
    for _ in range(3):
        client = await world.restart()
        seen += [await _producer_id(client) for _ in range(3)]
    await world.stop()
    await world.start()
    seen.append(await _producer_id(world.client()))
    assert len(set(seen)) == len(seen)


@pytest.mark.parametrize("known", [(-1, 0), (5, -1)])
@pytest.mark.parametrize("version", [3, 4])
def test_half_of_a_known_producer_is_refused(known: tuple[int, int], version: int) -> None:
    """KIP-360: id and epoch come together, or not at all."""

    @virtual
    async def body() -> None:
        _, client = await started()
        request = InitProducerIdRequest(
            transactional_id=None, producer_id=known[0], producer_epoch=known[1]
        )
        reply = await client.call(ApiKey.INIT_PRODUCER_ID, version, request)
        assert reply.error_code == ErrorCode.INVALID_REQUEST
        assert (reply.producer_id, reply.producer_epoch) == (-1, -1)

    body()


@virtual
async def test_transactions_are_declined() -> None:
    _, client = await started()
    request = InitProducerIdRequest(transactional_id="tx", transaction_timeout_ms=1_000)
    reply = await client.call(ApiKey.INIT_PRODUCER_ID, 4, request)
    assert reply.error_code == ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
    assert (reply.producer_id, reply.producer_epoch) == (-1, -1)


@virtual
async def test_nothing_is_stored_of_a_topic_that_is_not_durable() -> None:
    """A crash may take the topic away: what was sent to it meanwhile waits, and is in no log."""
    world, client = await started()
    world.objects.latency_s = 0.5
    creating = asyncio.ensure_future(world.client().create("t"))
    await asyncio.sleep(0.01)
    sent = client.produce("t", batch_of(b"x"))
    late = world.client().produce("t", batch_of(b"y"), timeout_ms=200)
    await asyncio.sleep(0.3)
    assert world.log.end_offset(0) == world.log.end_offset(1) == 0
    answer = (await late).responses[0].partition_responses[0]
    assert answer.error_code == ErrorCode.LEADER_NOT_AVAILABLE
    assert await creating == [0]
    answer = (await sent).responses[0].partition_responses[0]
    assert (answer.error_code, answer.base_offset) == (0, 0)
