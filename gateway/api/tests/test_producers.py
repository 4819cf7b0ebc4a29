"""Producers as they are, transactions as there are none."""

import pytest

from gateway.tests.harness import EPOCH_MS, batch_of, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from protocol.messages.describe_transactions import DescribeTransactionsRequest
from protocol.messages.list_transactions import ListTransactionsRequest


@virtual
async def test_producers_are_told_as_they_are_also_after_a_restart() -> None:
    world, client = await started()
    await client.create("t", partitions=2)
    for producer_id, epoch, counts in ((7, 0, (2, 3)), (9, 4, (1,))):
        sequence = 0
        for count in counts:
            batch = batch_of(
                *[b"x"] * count,
                producer_id=producer_id,
                producer_epoch=epoch,
                base_sequence=sequence,
            )
            assert (await client.produced("t", batch)).error_code == 0
            sequence += count
    await client.produced("t", batch_of(b"of nobody"))
    for _ in range(2):
        body = DescribeProducersRequest(
            topics=[
                TopicRequest(name="t", partition_indexes=[0, 1, 2]),
                TopicRequest(name="none", partition_indexes=[0]),
                TopicRequest(name="no name", partition_indexes=[0]),
            ]
        )
        reply = await client.call(ApiKey.DESCRIBE_PRODUCERS, 0, body)
        known, empty, missing = reply.topics[0].partitions
        found = {(p.producer_id, p.producer_epoch, p.last_sequence) for p in known.active_producers}
        assert found == {(7, 0, 4), (9, 4, 0)}
        for producer in known.active_producers:
            assert producer.current_txn_start_offset == producer.coordinator_epoch == -1
            assert abs(producer.last_timestamp - EPOCH_MS) < 60_000
        assert (empty.error_code, empty.active_producers) == (0, [])
        for answer in (missing, reply.topics[1].partitions[0]):
            assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert reply.topics[2].partitions[0].error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
        client = await world.restart()


@virtual
async def test_many_producers_are_told_without_holding_the_loop() -> None:
    world, client = await started()
    await client.create("t")
    for producer_id in range(3_000):
        batch = batch_of(b"x", producer_id=producer_id, producer_epoch=0, base_sequence=0)
        client.produce("t", batch)
    body = DescribeProducersRequest(topics=[TopicRequest(name="t", partition_indexes=[0])])
    reply = await client.call(ApiKey.DESCRIBE_PRODUCERS, 0, body)
    assert len(reply.topics[0].partitions[0].active_producers) == 3_000
    world.assert_idle()


@pytest.mark.parametrize("version", range(2))
def test_there_are_no_transactions(version: int) -> None:
    @virtual
    async def body() -> None:
        _, client = await started()
        asked = ListTransactionsRequest(state_filters=["Ongoing", "Sleeping", "Empty"])
        reply = await client.call(ApiKey.LIST_TRANSACTIONS, version, asked)
        assert (reply.error_code, reply.transaction_states) == (0, [])
        assert reply.unknown_state_filters == ["Sleeping"]

    body()


@virtual
async def test_none_is_found_by_its_id() -> None:
    _, client = await started()
    asked = DescribeTransactionsRequest(transactional_ids=["a", "b"])
    reply = await client.call(ApiKey.DESCRIBE_TRANSACTIONS, 0, asked)
    found = [(t.transactional_id, t.error_code) for t in reply.transaction_states]
    code = ErrorCode.TRANSACTIONAL_ID_NOT_FOUND
    assert found == [("a", code), ("b", code)]
