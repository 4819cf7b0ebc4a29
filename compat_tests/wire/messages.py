"""Requests of the wire tests, and what they look for in the responses."""

from collections.abc import Mapping, Sequence
from typing import Any

from kafka.protocol.admin import (
    CreateTopicsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeLogDirsRequest,
)
from kafka.protocol.consumer import (
    FetchRequest,
    JoinGroupRequest,
    ListOffsetsRequest,
    OffsetCommitRequest,
)
from kafka.protocol.metadata import ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest

from compat_tests.support.deadline import wait_until
from compat_tests.wire.batches import Batch, parse
from compat_tests.wire.connection import Connection

PRODUCE_VERSION = 9
FETCH_VERSION = 12
LIST_OFFSETS_VERSION = 7
METADATA_VERSION = 12
FETCH_BYTES_MAX = 50 << 20
LATEST, EARLIEST, MAX_TIMESTAMP = -1, -2, -3


def api_versions(connection: Connection, version: int = 0) -> dict[int, tuple[int, int]]:
    """Advertised range per API key."""
    request = ApiVersionsRequest(client_software_name="wire", client_software_version="1")
    response = connection.call(request, version)
    assert response.error_code == 0
    return {row.api_key: (row.min_version, row.max_version) for row in response.api_keys}


def metadata(
    connection: Connection,
    topics: Sequence[str] | None,
    *,
    version: int = METADATA_VERSION,
    create: bool = False,
) -> Any:
    return connection.call(metadata_request(topics, version=version, create=create), version)


def metadata_request(
    topics: Sequence[str] | None, *, version: int = METADATA_VERSION, create: bool = False
) -> MetadataRequest:
    asked = None
    if topics is not None:
        row = MetadataRequest.MetadataRequestTopic
        asked = [row(name=name, version=version) for name in topics]
    return MetadataRequest(topics=asked, allow_auto_topic_creation=create)


def create_topic(connection: Connection, topic: str, partitions: int = 1, **configs: str) -> None:
    """Settings with an underscore for each dot: retention_ms="1000"."""
    row = CreateTopicsRequest.CreatableTopic
    config = row.CreatableTopicConfig
    row = row(
        name=topic,
        num_partitions=partitions,
        replication_factor=1,
        assignments=[],
        configs=[config(name=n.replace("_", "."), value=v) for n, v in configs.items()],
    )
    request = CreateTopicsRequest(topics=[row], timeout_ms=10_000, validate_only=False)
    (answer,) = connection.call(request, 4).topics
    assert answer.error_code == 0, answer
    positions = dict.fromkeys(range(partitions), 0)
    wait_until(lambda: readable(connection, topic, positions), what="a leader for every partition")


def readable(connection: Connection, topic: str, positions: Mapping[int, int]) -> bool:
    """Kafka may list a topic a moment before its partitions can be used."""
    response = connection.call(fetch_request(topic, positions), FETCH_VERSION)
    rows = [row for found in response.responses for row in found.partitions]
    return len(rows) == len(positions) and all(row.error_code == 0 for row in rows)


def delete_topic(connection: Connection, topic: str) -> int:
    request = DeleteTopicsRequest(topic_names=[topic], timeout_ms=10_000)
    (answer,) = connection.call(request, 3).responses
    return int(answer.error_code)


def delete_records(
    connection: Connection, topic: str, offsets: Mapping[int, int], *, version: int = 2
) -> list[tuple[int, int]]:
    """(error code, low watermark) of each partition."""
    row = DeleteRecordsRequest.DeleteRecordsTopic
    part = row.DeleteRecordsPartition
    partitions = [part(partition_index=index, offset=offset) for index, offset in offsets.items()]
    request = DeleteRecordsRequest(
        topics=[row(name=topic, partitions=partitions)], timeout_ms=10_000
    )
    (answer,) = connection.call(request, version).topics
    return [(found.error_code, found.low_watermark) for found in answer.partitions]


def partition_size(connection: Connection, topic: str, *, version: int = 4) -> int:
    """Bytes that partition 0 holds, as DescribeLogDirs says."""
    row = DescribeLogDirsRequest.DescribableLogDirTopic
    request = DescribeLogDirsRequest(topics=[row(topic=topic, partitions=[0])])
    (folder,) = connection.call(request, version).results
    assert folder.error_code == 0
    return int(folder.topics[0].partitions[0].partition_size)


def produce_request(
    topics: Mapping[str, Mapping[int, bytes | None]], *, acks: int = -1, timeout_ms: int = 30_000
) -> ProduceRequest:
    topic_row = ProduceRequest.TopicProduceData
    partition_row = topic_row.PartitionProduceData
    return ProduceRequest(
        transactional_id=None,
        acks=acks,
        timeout_ms=timeout_ms,
        topic_data=[
            topic_row(
                name=name,
                partition_data=[
                    partition_row(index=index, records=records)
                    for index, records in partitions.items()
                ],
            )
            for name, partitions in topics.items()
        ],
    )


def produce(
    connection: Connection,
    topic: str,
    records: bytes | None,
    *,
    partition: int = 0,
    acks: int = -1,
    timeout_ms: int = 30_000,
    version: int = PRODUCE_VERSION,
) -> Any:
    """The partition's part of the response: error_code, base_offset and so on."""
    request = produce_request({topic: {partition: records}}, acks=acks, timeout_ms=timeout_ms)
    response = connection.call(request, version)
    return only_partition(response)


def only_partition(response: Any) -> Any:
    (topic,) = response.responses
    (partition,) = topic.partition_responses
    return partition


def fetch_request(
    topic: str,
    offsets: Mapping[int, int],
    *,
    max_wait_ms: int = 0,
    min_bytes: int = 0,
    max_bytes: int = FETCH_BYTES_MAX,
    partition_max_bytes: int = FETCH_BYTES_MAX,
    isolation_level: int = 0,
    current_leader_epoch: int = -1,
    session: tuple[int, int] = (0, -1),
) -> FetchRequest:
    topic_row = FetchRequest.FetchTopic
    partition_row = topic_row.FetchPartition
    return FetchRequest(
        replica_id=-1,
        max_wait_ms=max_wait_ms,
        min_bytes=min_bytes,
        max_bytes=max_bytes,
        isolation_level=isolation_level,
        session_id=session[0],
        session_epoch=session[1],
        topics=[
            topic_row(
                topic=topic,
                partitions=[
                    partition_row(
                        partition=index,
                        current_leader_epoch=current_leader_epoch,
                        fetch_offset=offset,
                        last_fetched_epoch=-1,
                        log_start_offset=-1,
                        partition_max_bytes=partition_max_bytes,
                    )
                    for index, offset in offsets.items()
                ],
            )
        ],
        forgotten_topics_data=[],
        rack_id="",
    )


def fetch(connection: Connection, topic: str, offset: int, **options: Any) -> Any:
    """The partition's part of the response, for partition 0."""
    version = options.pop("version", FETCH_VERSION)
    request = fetch_request(topic, {0: offset}, **options)
    response = connection.call(request, version)
    assert response.error_code == 0
    assert response.session_id == 0
    (found,) = response.responses
    (partition,) = found.partitions
    return partition


def fetch_batches(
    connection: Connection, topic: str, offset: int = 0, partition_index: int = 0
) -> list[Batch]:
    """Every batch up to the high watermark, each whole and with a right CRC."""
    batches: list[Batch] = []
    while True:
        request = fetch_request(topic, {partition_index: offset})
        partition = connection.call(request, FETCH_VERSION).responses[0].partitions[0]
        assert partition.error_code == 0
        found = [batch for batch in parse(bytes(partition.records or b"")) if batch.whole]
        assert all(batch.crc_right for batch in found)
        batches += found
        if not found:
            assert offset == partition.high_watermark
            return batches
        offset = found[-1].last_offset + 1


def list_offset(
    connection: Connection,
    topic: str,
    timestamp_ms: int,
    *,
    version: int = LIST_OFFSETS_VERSION,
    isolation_level: int = 0,
    current_leader_epoch: int = -1,
) -> Any:
    request = list_offsets_request(topic, timestamp_ms, isolation_level, current_leader_epoch)
    return connection.call(request, version).topics[0].partitions[0]


def list_offsets_request(
    topic: str, timestamp_ms: int, isolation_level: int = 0, current_leader_epoch: int = -1
) -> ListOffsetsRequest:
    """Of partition 0."""
    topic_row = ListOffsetsRequest.ListOffsetsTopic
    row = topic_row.ListOffsetsPartition(
        partition_index=0, current_leader_epoch=current_leader_epoch, timestamp=timestamp_ms
    )
    return ListOffsetsRequest(
        replica_id=-1,
        isolation_level=isolation_level,
        topics=[topic_row(name=topic, partitions=[row])],
    )


def init_producer_id(connection: Connection) -> tuple[int, int]:
    request = InitProducerIdRequest(
        transactional_id=None, transaction_timeout_ms=60_000, producer_id=-1, producer_epoch=-1
    )
    response = connection.call(request, 4)
    assert response.error_code == 0
    return response.producer_id, response.producer_epoch


def join_request(
    group: str,
    protocols: Sequence[str] = ("range",),
    *,
    metadata: bytes = b"",
    session_timeout_ms: int = 10_000,
) -> JoinGroupRequest:
    """Of a consumer without an id."""
    row = JoinGroupRequest.JoinGroupRequestProtocol
    return JoinGroupRequest(
        group_id=group,
        session_timeout_ms=session_timeout_ms,
        rebalance_timeout_ms=60_000,
        member_id="",
        group_instance_id=None,
        protocol_type="consumer",
        protocols=[row(name=name, metadata=metadata) for name in protocols],
    )


def commit_request(group: str, topic: str, partitions_count: int = 1) -> OffsetCommitRequest:
    """Of a consumer that is in no group, for so many partitions of a topic."""
    row = OffsetCommitRequest.OffsetCommitRequestTopic
    part = row.OffsetCommitRequestPartition
    partitions = [
        part(partition_index=index, committed_offset=1, committed_metadata="")
        for index in range(partitions_count)
    ]
    return OffsetCommitRequest(
        group_id=group,
        generation_id_or_member_epoch=-1,
        member_id="",
        retention_time_ms=-1,
        topics=[row(name=topic, partitions=partitions)],
    )


def find_coordinator(connection: Connection, group: str) -> Any:
    """Version 2: the last one with a single key; the error is retried while it is starting."""
    request = FindCoordinatorRequest(key=group, key_type=0)

    def asked() -> Any:
        response = connection.call(request, 2)
        return response if response.error_code != 15 else None

    return wait_until(asked, what="a coordinator")
