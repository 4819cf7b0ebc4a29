"""A small blocking Kafka client: what the commands need and no more. Works with any Kafka broker.

Rules: requests go to the node that leads the partition or coordinates the group; what a broker
says it did not do is tried again a few times, what it may have done never is.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, Self, TypeVar

from gateway.cli.connection import Api, Connection, Q, R
from gateway.cli.errors import ClientError, KafkaError
from gateway.settings.values import show_address
from protocol import ApiKey
from protocol.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfig,
    CreateTopicsRequest,
    CreateTopicsResponse,
)
from protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsResponse,
    DeleteRecordsTopic,
)
from protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicsResponse
from protocol.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
)
from protocol.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsResponse,
    ListOffsetsTopic,
)
from protocol.messages.metadata import (
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
    MetadataResponseTopic,
)

# The newest versions in which topics go by name; later ones go by id and would only add a lookup.
METADATA = Api(ApiKey.METADATA, 9, MetadataRequest, MetadataResponse)
LIST_OFFSETS = Api(ApiKey.LIST_OFFSETS, 6, ListOffsetsRequest, ListOffsetsResponse)
CREATE_TOPICS = Api(ApiKey.CREATE_TOPICS, 7, CreateTopicsRequest, CreateTopicsResponse)
DELETE_TOPICS = Api(ApiKey.DELETE_TOPICS, 5, DeleteTopicsRequest, DeleteTopicsResponse)
DELETE_RECORDS = Api(ApiKey.DELETE_RECORDS, 2, DeleteRecordsRequest, DeleteRecordsResponse)
ALTER_CONFIGS = Api(
    ApiKey.INCREMENTAL_ALTER_CONFIGS,
    1,
    IncrementalAlterConfigsRequest,
    IncrementalAlterConfigsResponse,
)
DESCRIBE_CONFIGS = Api(ApiKey.DESCRIBE_CONFIGS, 4, DescribeConfigsRequest, DescribeConfigsResponse)

EARLIEST, LATEST = -2, -1  # the timestamps that ListOffsets takes for "first" and "end"
_TOPIC = 2  # resource type in DescribeConfigs and IncrementalAlterConfigs
_SET, _UNSET = 0, 1  # operations in IncrementalAlterConfigs
# The broker did nothing and the next try may find it ready: a topic being created, a leader moving.
_TRY_AGAIN = frozenset({3, 5, 6, 14, 15, 16})
_DELETION_REMEDIES = {  # by Kafka's code, which comes without words
    1: "--before with an offset up to the end; `topics describe NAME` shows it",
    44: "`topics alter NAME --set cleanup.policy=delete` first: only such a topic deletes records",
}
_TRIES_MAX_COUNT = 10
_BETWEEN_TRIES_MS = 200

T = TypeVar("T")


class Partition(NamedTuple):
    """A partition and the node that leads it; -1: nobody does."""

    number: int
    leader_id: int


class KafkaClient:
    """Connections to the nodes of one cluster, opened when they are first needed."""

    def __init__(self, bootstrap: tuple[str, int], timeout_ms: int) -> None:
        self._bootstrap = bootstrap
        self._timeout_ms = timeout_ms
        self._nodes: dict[int, tuple[str, int]] = {}
        self._connections: dict[tuple[str, int], Connection] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.close()

    def request(
        self, api: Api[Q, R], body: Q, *, node_id: int | None = None, wait_ms: int = 0
    ) -> R:
        """Ask a node (by default the one at the bootstrap address)."""
        address = self._bootstrap if node_id is None else self._nodes[node_id]
        connection = self._connections.get(address)
        if connection is None:
            connection = self._connect(address)
            self._connections[address] = connection
        try:
            return connection.request(api, body, wait_ms)
        except ClientError:
            self._connections.pop(address).close()  # what state it is in, nobody knows
            raise

    def _connect(self, address: tuple[str, int]) -> Connection:
        try:
            return Connection(*address, self._timeout_ms)
        except ClientError as e:
            if address == self._bootstrap:
                raise
            raise ClientError(
                f"{e}; the broker at {show_address(*self._bootstrap)} sends its clients there",
                "restart it with --advertised and an address that leads to it from here",
            ) from e

    def add_node(self, node_id: int, host: str, port: int) -> None:
        """Remember where a node is, as a response said."""
        self._nodes[node_id] = (host, port)

    def again(self, attempt: Callable[[], T]) -> T:
        """Run an attempt, a few times as long as the broker says that it did nothing yet."""
        for _ in range(_TRIES_MAX_COUNT - 1):
            try:
                return attempt()
            except KafkaError as e:
                if e.code not in _TRY_AGAIN:
                    raise
            time.sleep(_BETWEEN_TRIES_MS / 1000)
        return attempt()

    def topics(
        self, names: Sequence[str] | None = None, *, create: bool = False
    ) -> list[MetadataResponseTopic]:
        """What the cluster knows of these topics (None: of all), errors included."""
        body = MetadataRequest(
            topics=None if names is None else [MetadataRequestTopic(name=name) for name in names],
            allow_auto_topic_creation=create,
        )
        reply = self.request(METADATA, body)
        for broker in reply.brokers:
            self.add_node(broker.node_id, broker.host, broker.port)
        return reply.topics

    def partitions(self, topic: str, *, create: bool = False) -> list[Partition]:
        """The partitions of a topic, in order; `create` asks the broker to make a missing one."""
        (row,) = self.topics([topic], create=create)
        if row.error_code:
            raise KafkaError(row.error_code, f"topic {topic}")
        for partition in row.partitions:
            if partition.leader_id not in self._nodes:
                raise KafkaError(5, f"topic {topic}, partition {partition.partition_index}")
        rows = [Partition(p.partition_index, p.leader_id) for p in row.partitions]
        return sorted(rows)

    def offsets(
        self, topic: str, partitions: Iterable[Partition], timestamp: int
    ) -> dict[int, int]:
        """The first offset at or after a time (EARLIEST, LATEST or milliseconds) per partition."""
        found: dict[int, int] = {}
        for node_id, numbers in by_leader(partitions).items():
            wanted = [ListOffsetsPartition(partition_index=i, timestamp=timestamp) for i in numbers]
            body = ListOffsetsRequest(
                replica_id=-1, topics=[ListOffsetsTopic(name=topic, partitions=wanted)]
            )
            reply = self.request(LIST_OFFSETS, body, node_id=node_id)
            for row in (p for t in reply.topics for p in t.partitions):
                if row.error_code:
                    raise KafkaError(row.error_code, f"offsets of {topic}-{row.partition_index}")
                found[row.partition_index] = row.offset
        return found

    def create_topic(self, name: str, partitions_count: int, configs: Mapping[str, str]) -> int:
        """Create a topic; returns its number of partitions. -1 takes the broker's default."""
        topic = CreatableTopic(
            name=name,
            num_partitions=partitions_count,
            replication_factor=-1,
            configs=[CreatableTopicConfig(name=key, value=v) for key, v in configs.items()],
        )
        body = CreateTopicsRequest(topics=[topic], timeout_ms=self._timeout_ms)
        (row,) = self.request(CREATE_TOPICS, body).topics
        if row.error_code:
            raise KafkaError(row.error_code, f"topic {name}", row.error_message)
        return row.num_partitions

    def delete_topic(self, name: str) -> None:
        """Delete a topic and its records for good."""
        body = DeleteTopicsRequest(topic_names=[name], timeout_ms=self._timeout_ms)
        (row,) = self.request(DELETE_TOPICS, body).responses
        if row.error_code:
            raise KafkaError(row.error_code, f"topic {name}", row.error_message)

    def delete_records(self, topic: str, partition: Partition, before: int) -> int:
        """Delete what is below an offset; returns the first offset that is left."""
        wanted = DeleteRecordsPartition(partition_index=partition.number, offset=before)
        body = DeleteRecordsRequest(
            topics=[DeleteRecordsTopic(name=topic, partitions=[wanted])],
            timeout_ms=self._timeout_ms,
        )
        reply = self.request(DELETE_RECORDS, body, node_id=partition.leader_id)
        row = reply.topics[0].partitions[0]
        if row.error_code:
            remedy = _DELETION_REMEDIES.get(row.error_code)
            raise KafkaError(row.error_code, f"{topic}-{partition.number}", remedy=remedy)
        return row.low_watermark

    def alter_topic(self, name: str, configs: Mapping[str, str | None]) -> None:
        """Set configurations of a topic; None: back to the default."""
        steps = [
            AlterableConfig(
                name=key, config_operation=_UNSET if value is None else _SET, value=value
            )
            for key, value in configs.items()
        ]
        resource = AlterConfigsResource(resource_type=_TOPIC, resource_name=name, configs=steps)
        body = IncrementalAlterConfigsRequest(resources=[resource])
        (row,) = self.request(ALTER_CONFIGS, body).responses
        if row.error_code:
            raise KafkaError(row.error_code, f"topic {name}", row.error_message)

    def topic_configs(self, name: str) -> list[DescribeConfigsResourceResult]:
        """Every configuration of a topic, in the broker's order."""
        resource = DescribeConfigsResource(
            resource_type=_TOPIC, resource_name=name, configuration_keys=None
        )
        (row,) = self.request(
            DESCRIBE_CONFIGS, DescribeConfigsRequest(resources=[resource])
        ).results
        if row.error_code:
            raise KafkaError(row.error_code, f"topic {name}", row.error_message)
        return row.configs


def by_leader(partitions: Iterable[Partition]) -> dict[int, list[int]]:
    """Partition numbers by the node that leads them: one request per node serves all of its own."""
    nodes: dict[int, list[int]] = {}
    for partition in partitions:
        nodes.setdefault(partition.leader_id, []).append(partition.number)
    return nodes
