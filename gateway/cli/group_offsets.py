"""The offsets a group has committed: how `consume --group` finds its place again.

Simple commits, without joining: the broker takes them as long as the group has no members.
"""

from collections.abc import Iterable, Mapping

from gateway.cli.client import KafkaClient
from gateway.cli.connection import Api
from gateway.cli.errors import KafkaError
from protocol import ApiKey
from protocol.messages.find_coordinator import FindCoordinatorRequest, FindCoordinatorResponse
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetCommitResponse,
)
from protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestTopic,
    OffsetFetchResponse,
)

# The newest versions that ask for one group at a time.
FIND_COORDINATOR = Api(ApiKey.FIND_COORDINATOR, 3, FindCoordinatorRequest, FindCoordinatorResponse)
OFFSET_FETCH = Api(ApiKey.OFFSET_FETCH, 7, OffsetFetchRequest, OffsetFetchResponse)
OFFSET_COMMIT = Api(ApiKey.OFFSET_COMMIT, 7, OffsetCommitRequest, OffsetCommitResponse)


class GroupOffsets:
    """The committed offsets of one group in one topic."""

    def __init__(self, client: KafkaClient, group: str, topic: str) -> None:
        """Find the group's coordinator; raises ClientError."""
        self._client = client
        self._group = group
        self._topic = topic
        self._node_id = client.again(self._find)

    def _find(self) -> int:
        reply = self._client.request(FIND_COORDINATOR, FindCoordinatorRequest(key=self._group))
        if reply.error_code:
            raise KafkaError(reply.error_code, f"group {self._group}", reply.error_message)
        self._client.add_node(reply.node_id, reply.host, reply.port)
        return reply.node_id

    def read(self, partitions: Iterable[int]) -> dict[int, int]:
        """The committed offset of each partition that has one."""
        topic = OffsetFetchRequestTopic(name=self._topic, partition_indexes=list(partitions))
        body = OffsetFetchRequest(group_id=self._group, topics=[topic])
        reply = self._client.request(OFFSET_FETCH, body, node_id=self._node_id)
        rows = [p for t in reply.topics for p in t.partitions]
        for code in (reply.error_code, *(row.error_code for row in rows)):
            if code:
                raise KafkaError(code, f"offsets of group {self._group}")
        return {p.partition_index: p.committed_offset for p in rows if p.committed_offset >= 0}

    def write(self, positions: Mapping[int, int]) -> None:
        """Commit, per partition, the offset to go on from; durable on return."""
        rows = [
            OffsetCommitRequestPartition(partition_index=i, committed_offset=offset)
            for i, offset in positions.items()
        ]
        topic = OffsetCommitRequestTopic(name=self._topic, partitions=rows)
        body = OffsetCommitRequest(group_id=self._group, topics=[topic])
        reply = self._client.request(OFFSET_COMMIT, body, node_id=self._node_id)
        for row in (p for t in reply.topics for p in t.partitions):
            if row.error_code:
                raise KafkaError(row.error_code, f"offset of group {self._group}")
