import pytest

from gateway.tests.harness import NODE, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.describe_quorum import DescribeQuorumRequest, PartitionData, TopicData


def _asking(topic: str, *indexes: int) -> DescribeQuorumRequest:
    partitions = [PartitionData(partition_index=index) for index in indexes]
    return DescribeQuorumRequest(topics=[TopicData(topic_name=topic, partitions=partitions)])


@pytest.mark.parametrize("version", range(3))
def test_the_catalog_is_a_quorum_of_one(version: int) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        seen = []
        for name in ("a", "b"):
            await client.create(name)
            asked = _asking("__cluster_metadata", 0)
            reply = await client.call(ApiKey.DESCRIBE_QUORUM, version, asked)
            assert reply.error_code == 0
            (partition,) = reply.topics[0].partitions
            assert (partition.leader_id, partition.error_code) == (NODE.node_id, 0)
            assert partition.leader_epoch == world.catalog_log.term
            (voter,) = partition.current_voters
            assert voter.replica_id == NODE.node_id
            assert voter.log_end_offset == partition.high_watermark
            assert partition.observers == []
            if version >= 2:
                (node,) = reply.nodes
                (listener,) = node.listeners
                assert (node.node_id, listener.host, listener.port) == NODE[:3]
            seen.append(partition.high_watermark)
        assert seen[0] + 1 == seen[1]

    body()


@virtual
async def test_of_nothing_else_is_there_a_quorum() -> None:
    _, client = await started()
    await client.create("t")
    for asked in (
        _asking("t", 0),
        _asking("__cluster_metadata", 1),
        _asking("__cluster_metadata", 0, 1),
        DescribeQuorumRequest(),
    ):
        reply = await client.call(ApiKey.DESCRIBE_QUORUM, 1, asked)
        assert (reply.error_code, reply.topics) == (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, [])
