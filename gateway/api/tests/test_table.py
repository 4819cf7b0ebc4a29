"""Every row of the handler table: what is advertised is handled, in every version."""

import asyncio
from typing import Any

import pytest

from gateway.api import API_TABLE, Api, CloseConnection
from gateway.tests.harness import started, virtual
from protocol import (
    ApiKey,
    ErrorCode,
    Message,
    decode_request,
    decode_request_header,
    decode_response,
    encode_request,
    encode_response,
    message_classes,
)
from protocol.messages import (
    alter_client_quotas,
    alter_configs,
    describe_client_quotas,
    describe_topic_partitions,
    incremental_alter_configs,
)
from protocol.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from protocol.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    ScramCredentialDeletion,
)
from protocol.messages.api_versions import ApiVersionsRequest
from protocol.messages.create_acls import AclCreation, CreateAclsRequest
from protocol.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
from protocol.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest
from protocol.messages.delete_groups import DeleteGroupsRequest
from protocol.messages.delete_records import (
    DeleteRecordsPartition,
    DeleteRecordsRequest,
    DeleteRecordsTopic,
)
from protocol.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from protocol.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from protocol.messages.describe_groups import DescribeGroupsRequest
from protocol.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from protocol.messages.describe_producers import DescribeProducersRequest, TopicRequest
from protocol.messages.describe_transactions import DescribeTransactionsRequest
from protocol.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)
from protocol.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

CASES = [
    pytest.param(api, version, id=f"{api.name}-v{version}")
    for api in API_TABLE.values()
    for version in range(api.min_version, api.max_version + 1)
]

_FILLED: dict[int, Message] = {
    ApiKey.PRODUCE: ProduceRequest(
        acks=-1,
        topic_data=[
            TopicProduceData(name="t", partition_data=[PartitionProduceData(records=b"junk")])
        ],
    ),
    ApiKey.FETCH: FetchRequest(
        session_epoch=-1,
        topics=[FetchTopic(topic="t", topic_id=b"\x01" * 16, partitions=[FetchPartition()])],
    ),
    ApiKey.LIST_OFFSETS: ListOffsetsRequest(
        topics=[ListOffsetsTopic(name="t", partitions=[ListOffsetsPartition(timestamp=-1)])]
    ),
    ApiKey.METADATA: MetadataRequest(topics=[MetadataRequestTopic(name="t")]),
    ApiKey.DESCRIBE_GROUPS: DescribeGroupsRequest(groups=["g"]),
    ApiKey.DELETE_GROUPS: DeleteGroupsRequest(groups_names=["g"]),
    ApiKey.OFFSET_DELETE: OffsetDeleteRequest(
        group_id="g",
        topics=[OffsetDeleteRequestTopic("t", partitions=[OffsetDeleteRequestPartition()])],
    ),
    ApiKey.CREATE_TOPICS: CreateTopicsRequest(
        topics=[CreatableTopic(name="t", num_partitions=1, replication_factor=1)]
    ),
    ApiKey.DELETE_TOPICS: DeleteTopicsRequest(
        topic_names=["t"], topics=[DeleteTopicState(topic_id=b"\x01" * 16)]
    ),
    ApiKey.ELECT_LEADERS: ElectLeadersRequest(
        topic_partitions=[TopicPartitions(topic="t", partitions=[0])]
    ),
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: AlterPartitionReassignmentsRequest(
        topics=[ReassignableTopic(name="t", partitions=[ReassignablePartition()])]
    ),
    ApiKey.DESCRIBE_PRODUCERS: DescribeProducersRequest(
        topics=[TopicRequest(name="t", partition_indexes=[0])]
    ),
    ApiKey.DESCRIBE_TRANSACTIONS: DescribeTransactionsRequest(transactional_ids=["t"]),
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: describe_topic_partitions.DescribeTopicPartitionsRequest(
        topics=[describe_topic_partitions.TopicRequest(name="t")],
        cursor=describe_topic_partitions.Cursor(topic_name="a"),
    ),
    ApiKey.CREATE_ACLS: CreateAclsRequest(creations=[AclCreation()]),
    ApiKey.DELETE_ACLS: DeleteAclsRequest(filters=[DeleteAclsFilter()]),
    ApiKey.ALTER_USER_SCRAM_CREDENTIALS: AlterUserScramCredentialsRequest(
        deletions=[ScramCredentialDeletion(name="u")]
    ),
    ApiKey.CREATE_PARTITIONS: CreatePartitionsRequest(
        topics=[CreatePartitionsTopic(name="t", count=2)]
    ),
    ApiKey.DELETE_RECORDS: DeleteRecordsRequest(
        topics=[DeleteRecordsTopic(name="t", partitions=[DeleteRecordsPartition()])]
    ),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: OffsetForLeaderEpochRequest(
        topics=[OffsetForLeaderTopic(topic="t", partitions=[OffsetForLeaderPartition()])]
    ),
    ApiKey.ALTER_CONFIGS: alter_configs.AlterConfigsRequest(
        resources=[alter_configs.AlterConfigsResource(resource_type=2, resource_name="t")]
    ),
    ApiKey.DESCRIBE_LOG_DIRS: DescribeLogDirsRequest(
        topics=[DescribableLogDirTopic(topic="t", partitions=[0])]
    ),
    ApiKey.INCREMENTAL_ALTER_CONFIGS: incremental_alter_configs.IncrementalAlterConfigsRequest(
        resources=[
            incremental_alter_configs.AlterConfigsResource(resource_type=2, resource_name="t")
        ]
    ),
    ApiKey.DESCRIBE_CLIENT_QUOTAS: describe_client_quotas.DescribeClientQuotasRequest(
        components=[describe_client_quotas.ComponentData("client-id", 0, "a")]
    ),
    ApiKey.ALTER_CLIENT_QUOTAS: alter_client_quotas.AlterClientQuotasRequest(
        entries=[
            alter_client_quotas.EntryData(
                entity=[alter_client_quotas.EntityData("client-id", "a")],
                ops=[alter_client_quotas.OpData("producer_byte_rate", 1.0, False)],
            )
        ]
    ),
    ApiKey.DESCRIBE_CONFIGS: DescribeConfigsRequest(
        resources=[
            DescribeConfigsResource(resource_type=2, resource_name="t"),
            DescribeConfigsResource(resource_type=4, resource_name="1"),
            DescribeConfigsResource(resource_type=99, resource_name="?"),
        ]
    ),
}


def _requests(api: Api) -> list[Message]:
    """The request with all its defaults and, where it has lists, one with something in them."""
    empty = message_classes(api.key).request()
    return [empty, _FILLED[api.key]] if api.key in _FILLED else [empty]


def _as_read(api: Api, version: int, request: Message) -> Any:
    frame = b"".join(encode_request(api.key, version, 5, None, request))[4:]
    header, at = decode_request_header(memoryview(bytearray(frame)))
    return decode_request(header, memoryview(bytearray(frame)), at)


@pytest.mark.parametrize(("api", "version"), CASES)
def test_a_minimal_request_is_answered_in_every_version(
    api: Api, version: int, caplog: pytest.LogCaptureFixture
) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        for request in _requests(api):
            if api.key == ApiKey.PRODUCE:
                request.acks = -1  # type: ignore[attr-defined]
            reply = client.send(api.key, version, request)
            await asyncio.wait((reply,), timeout=3_600)
            assert reply.done()
            assert client.is_open
        assert not [r for r in world.gateway.hub.tasks if not r.done()]

    body()
    assert not [r for r in caplog.records if r.levelname == "ERROR"]


@pytest.mark.parametrize(("api", "version"), CASES)
def test_the_error_answer_can_be_encoded_in_every_version(api: Api, version: int) -> None:
    for request in _requests(api):
        if api.key == ApiKey.PRODUCE:
            request.acks = 1  # type: ignore[attr-defined]
        asked = _as_read(api, version, request)
        response = api.on_error(asked, ErrorCode.KAFKA_STORAGE_ERROR)
        assert response is not None
        frame = b"".join(encode_response(api.key, version, 5, response))
        correlation_id, decoded = decode_response(api.key, version, memoryview(frame)[4:])
        assert correlation_id == 5
        if api.key not in (ApiKey.API_VERSIONS, ApiKey.FETCH) and request in _FILLED.values():
            assert ": 56" in repr(decoded) or "=56" in repr(decoded)


def test_a_produce_without_acks_has_no_error_answer_but_the_end_of_the_connection() -> None:
    with pytest.raises(CloseConnection):
        API_TABLE[ApiKey.PRODUCE].on_error(ProduceRequest(acks=0), ErrorCode.KAFKA_STORAGE_ERROR)


@virtual
async def test_api_versions_is_the_table() -> None:
    _, client = await started()
    for version in range(6):
        request = ApiVersionsRequest(client_software_name="t", client_software_version="1")
        reply = await client.call(ApiKey.API_VERSIONS, version, request)
        found = {k.api_key: (k.min_version, k.max_version) for k in reply.api_keys}
        assert found == {a.key: (a.min_version, a.max_version) for a in API_TABLE.values()}


@pytest.mark.parametrize(
    ("name", "is_good"),
    [
        ("apache-kafka-java", True),
        ("librdkafka", True),
        ("a", True),
        ("1.0-b.c", True),
        ("", False),
        ("-a", False),
        ("a.", False),
        ("a b", False),
        ("a_b", False),
        ("é", False),
        ("a\n", False),
    ],
)
def test_software_must_have_a_name_that_metrics_can_show(name: str, is_good: bool) -> None:
    @virtual
    async def body() -> None:
        _, client = await started()
        for version in range(6):
            for names in ((name, "1.0"), ("test", name)):
                request = ApiVersionsRequest(
                    client_software_name=names[0], client_software_version=names[1]
                )
                reply = await client.call(ApiKey.API_VERSIONS, version, request)
                if is_good or version < 3:
                    assert (reply.error_code, len(reply.api_keys)) == (0, len(API_TABLE))
                else:
                    found = (reply.error_code, reply.api_keys)
                    assert found == (ErrorCode.INVALID_REQUEST, [])

    body()


@virtual
async def test_who_has_reached_somebody_else_than_it_meant_is_told() -> None:
    """As Kafka 4.4: both are named or neither, and both must be right (KIP-1242)."""
    world, client = await started()
    broker = world.gateway.broker
    cluster, node = broker.cluster_id, broker.node.node_id
    expected = {
        (None, -1): ErrorCode.NONE,
        (cluster, node): ErrorCode.NONE,
        (None, node): ErrorCode.INVALID_REQUEST,
        (cluster, -1): ErrorCode.INVALID_REQUEST,
        ("", -1): ErrorCode.INVALID_REQUEST,
        (cluster, node + 1): ErrorCode.REBOOTSTRAP_REQUIRED,
        (cluster, -2): ErrorCode.REBOOTSTRAP_REQUIRED,
        ("another", node): ErrorCode.REBOOTSTRAP_REQUIRED,
        ("", node): ErrorCode.REBOOTSTRAP_REQUIRED,
    }
    for (cluster_id, node_id), code in expected.items():
        request = ApiVersionsRequest("t", "1", cluster_id, node_id)
        reply = await client.call(ApiKey.API_VERSIONS, 5, request)
        served = len(API_TABLE) if code is ErrorCode.NONE else 0
        assert (reply.error_code, len(reply.api_keys)) == (code, served), (cluster_id, node_id)
    older = await client.call(ApiKey.API_VERSIONS, 4, ApiVersionsRequest("t", "1", "another", 9))
    assert older.error_code == 0


def test_nothing_is_advertised_that_the_codec_does_not_speak() -> None:
    for key, api in API_TABLE.items():
        classes = message_classes(key)
        assert classes.min_version <= api.min_version <= api.max_version <= classes.max_version


@virtual
async def test_a_handler_that_breaks_answers_its_error_and_keeps_the_connection() -> None:
    world, client = await started()

    def broken(*_: object) -> None:
        raise RuntimeError("a bug of ours")

    world.gateway.broker.partition = broken  # type: ignore[method-assign,assignment]
    reply = await client.call(ApiKey.LIST_OFFSETS, 5, _FILLED[ApiKey.LIST_OFFSETS])
    assert reply.topics[0].partitions[0].error_code == ErrorCode.UNKNOWN_SERVER_ERROR
    assert client.is_open
    await asyncio.sleep(0)
    world.assert_idle()
