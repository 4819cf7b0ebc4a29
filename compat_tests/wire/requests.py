"""A small request of every API that is served, in any version; the codes in what is answered."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from kafka.protocol.admin import (
    AlterClientQuotasRequest,
    AlterConfigsRequest,
    AlterPartitionReassignmentsRequest,
    AlterUserScramCredentialsRequest,
    CreateAclsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteAclsRequest,
    DeleteGroupsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeAclsRequest,
    DescribeClientQuotasRequest,
    DescribeClusterRequest,
    DescribeConfigsRequest,
    DescribeGroupsRequest,
    DescribeLogDirsRequest,
    DescribeProducersRequest,
    DescribeQuorumRequest,
    DescribeTopicPartitionsRequest,
    DescribeTransactionsRequest,
    DescribeUserScramCredentialsRequest,
    ElectLeadersRequest,
    IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest,
    ListGroupsRequest,
    ListPartitionReassignmentsRequest,
    ListTransactionsRequest,
)
from kafka.protocol.api_message import ApiMessage
from kafka.protocol.consumer import (
    HeartbeatRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    ListOffsetsRequest,
    OffsetCommitRequest,
    OffsetDeleteRequest,
    OffsetFetchRequest,
    OffsetForLeaderEpochRequest,
    SyncGroupRequest,
)
from kafka.protocol.metadata import ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest
from kafka.protocol.producer import InitProducerIdRequest

from compat_tests.wire.batches import build
from compat_tests.wire.messages import fetch_request, produce_request

ZERO_ID = UUID(int=0)
# Versions below these exist, but no broker since Kafka 4 serves them.
FLOORS = {0: 3}


def topics_of(request: type[ApiMessage], kind: str, **fields: Any) -> list[Any]:
    return [getattr(request, kind)(**fields)]


def produce(version: int, topic: str, topic_id: Any) -> ApiMessage:
    request = produce_request({topic: {0: build([b"v%d" % version])}})
    request.topic_data[0].topic_id = topic_id
    return request


def fetch(version: int, topic: str, topic_id: Any) -> ApiMessage:
    request = fetch_request(topic, {0: 0})
    request.topics[0].topic_id = topic_id
    return request


def list_offsets(version: int, topic: str, _: Any) -> ApiMessage:
    row = ListOffsetsRequest.ListOffsetsTopic
    partition = row.ListOffsetsPartition(partition_index=0, current_leader_epoch=-1, timestamp=-1)
    return ListOffsetsRequest(
        replica_id=-1, isolation_level=0, topics=[row(name=topic, partitions=[partition])]
    )


def find_coordinator(version: int, topic: str, _: Any) -> ApiMessage:
    return FindCoordinatorRequest(key="group", key_type=0, coordinator_keys=["group", "another"])


def offset_commit(version: int, topic: str, topic_id: Any) -> ApiMessage:
    row = OffsetCommitRequest.OffsetCommitRequestTopic
    partition = row.OffsetCommitRequestPartition(
        partition_index=0,
        committed_offset=0,
        committed_leader_epoch=-1,
        commit_timestamp=-1,
        committed_metadata="m",
    )
    return OffsetCommitRequest(
        group_id="versions",
        generation_id_or_member_epoch=-1,
        member_id="",
        group_instance_id=None,
        retention_time_ms=-1,
        topics=[row(name=topic, topic_id=topic_id, partitions=[partition])],
    )


def offset_fetch(version: int, topic: str, topic_id: Any) -> ApiMessage:
    row = OffsetFetchRequest.OffsetFetchRequestTopic
    group = OffsetFetchRequest.OffsetFetchRequestGroup
    inner = group.OffsetFetchRequestTopics(name=topic, topic_id=topic_id, partition_indexes=[0])
    return OffsetFetchRequest(
        group_id="versions",
        topics=[row(name=topic, partition_indexes=[0])],
        groups=[group(group_id="versions", member_id=None, member_epoch=-1, topics=[inner])],
        require_stable=False,
    )


def join_group(version: int, topic: str, _: Any) -> ApiMessage:
    protocol = JoinGroupRequest.JoinGroupRequestProtocol(name="range", metadata=b"opaque")
    return JoinGroupRequest(
        group_id=f"join-{version}-{topic}",
        session_timeout_ms=6_000,
        rebalance_timeout_ms=6_000,
        member_id="",
        group_instance_id=None,
        protocol_type="wire",
        protocols=[protocol],
        reason=None,
    )


def sync_group(version: int, topic: str, _: Any) -> ApiMessage:
    return SyncGroupRequest(
        group_id="versions",
        generation_id=1,
        member_id="nobody",
        group_instance_id=None,
        protocol_type="wire",
        protocol_name="range",
        assignments=[],
    )


def heartbeat(version: int, topic: str, _: Any) -> ApiMessage:
    return HeartbeatRequest(
        group_id="versions", generation_id=1, member_id="nobody", group_instance_id=None
    )


def leave_group(version: int, topic: str, _: Any) -> ApiMessage:
    member = LeaveGroupRequest.MemberIdentity(
        member_id="nobody", group_instance_id=None, reason=None
    )
    return LeaveGroupRequest(group_id="versions", member_id="nobody", members=[member])


def offset_delete(version: int, topic: str, _: Any) -> ApiMessage:
    row = OffsetDeleteRequest.OffsetDeleteRequestTopic
    partition = row.OffsetDeleteRequestPartition(partition_index=0)
    return OffsetDeleteRequest(
        group_id="versions", topics=[row(name=topic, partitions=[partition])]
    )


def create_topics(version: int, topic: str, _: Any) -> ApiMessage:
    row = CreateTopicsRequest.CreatableTopic(
        name=f"{topic}-v{version}",
        num_partitions=1,
        replication_factor=1,
        assignments=[],
        configs=[],
    )
    return CreateTopicsRequest(topics=[row], timeout_ms=10_000, validate_only=False)


def delete_topics(version: int, topic: str, _: Any) -> ApiMessage:
    name = f"{topic}-v{version}"
    row = DeleteTopicsRequest.DeleteTopicState(name=name, topic_id=ZERO_ID)
    return DeleteTopicsRequest(topics=[row], topic_names=[name], timeout_ms=10_000)


def delete_records(version: int, topic: str, _: Any) -> ApiMessage:
    row = DeleteRecordsRequest.DeleteRecordsTopic
    partition = row.DeleteRecordsPartition(partition_index=0, offset=-1)
    return DeleteRecordsRequest(topics=[row(name=topic, partitions=[partition])], timeout_ms=9_000)


def offset_for_leader_epoch(version: int, topic: str, _: Any) -> ApiMessage:
    row = OffsetForLeaderEpochRequest.OffsetForLeaderTopic
    partition = row.OffsetForLeaderPartition(partition=0, current_leader_epoch=-1, leader_epoch=0)
    return OffsetForLeaderEpochRequest(
        replica_id=-1, topics=[row(topic=topic, partitions=[partition])]
    )


def describe_configs(version: int, topic: str, _: Any) -> ApiMessage:
    row = DescribeConfigsRequest.DescribeConfigsResource
    return DescribeConfigsRequest(
        resources=[row(resource_type=2, resource_name=topic, configuration_keys=None)],
        include_synonyms=True,
        include_documentation=True,
    )


def alter_configs(version: int, topic: str, _: Any) -> ApiMessage:
    row = AlterConfigsRequest.AlterConfigsResource
    config = row.AlterableConfig(name="retention.ms", value="1000")
    resource = row(resource_type=2, resource_name=topic, configs=[config])
    return AlterConfigsRequest(resources=[resource], validate_only=False)


def incremental_alter_configs(version: int, topic: str, _: Any) -> ApiMessage:
    row = IncrementalAlterConfigsRequest.AlterConfigsResource
    config = row.AlterableConfig(name="retention.ms", config_operation=0, value="1000")
    resource = row(resource_type=2, resource_name=topic, configs=[config])
    return IncrementalAlterConfigsRequest(resources=[resource], validate_only=False)


def create_partitions(version: int, topic: str, _: Any) -> ApiMessage:
    """One more than the version before asked for, on a topic of one partition."""
    asked = topics_of(CreatePartitionsRequest, "CreatePartitionsTopic", name=topic)
    asked[0].count = version + 2
    return CreatePartitionsRequest(topics=asked, timeout_ms=10_000, validate_only=True)


def elect_leaders(version: int, topic: str, _: Any) -> ApiMessage:
    asked = topics_of(ElectLeadersRequest, "TopicPartitions", topic=topic, partitions=[0])
    return ElectLeadersRequest(election_type=0, topic_partitions=asked)


def alter_partition_reassignments(version: int, topic: str, _: Any) -> ApiMessage:
    row = AlterPartitionReassignmentsRequest.ReassignableTopic
    partition = row.ReassignablePartition(partition_index=0, replicas=None)
    return AlterPartitionReassignmentsRequest(topics=[row(name=topic, partitions=[partition])])


def describe_quorum(version: int, topic: str, _: Any) -> ApiMessage:
    row = DescribeQuorumRequest.TopicData
    partition = row.PartitionData(partition_index=0)
    asked = row(topic_name="__cluster_metadata", partitions=[partition])
    return DescribeQuorumRequest(topics=[asked])


def create_acls(version: int, topic: str, _: Any) -> ApiMessage:
    row = CreateAclsRequest.AclCreation(
        resource_type=2,
        resource_name=topic,
        principal="User:a",
        host="*",
        operation=3,
        permission_type=3,
    )
    return CreateAclsRequest(creations=[row])


def alter_user_scram_credentials(version: int, topic: str, _: Any) -> ApiMessage:
    row = AlterUserScramCredentialsRequest.ScramCredentialDeletion(name="a", mechanism=1)
    return AlterUserScramCredentialsRequest(deletions=[row], upsertions=[])


def alter_client_quotas(version: int, topic: str, _: Any) -> ApiMessage:
    row = AlterClientQuotasRequest.EntryData
    entity = row.EntityData(entity_type="client-id", entity_name=topic)
    operation = row.OpData(key="producer_byte_rate", value=1e9, remove=False)
    return AlterClientQuotasRequest(
        entries=[row(entity=[entity], ops=[operation])], validate_only=True
    )


BUILDERS: dict[int, Callable[[int, str, Any], ApiMessage]] = {
    0: produce,
    1: fetch,
    2: list_offsets,
    3: lambda version, topic, _: MetadataRequest(
        topics=topics_of(MetadataRequest, "MetadataRequestTopic", name=topic, topic_id=ZERO_ID)
    ),
    8: offset_commit,
    9: offset_fetch,
    10: find_coordinator,
    11: join_group,
    12: heartbeat,
    13: leave_group,
    14: sync_group,
    15: lambda version, topic, _: DescribeGroupsRequest(
        groups=["nobody's"], include_authorized_operations=False
    ),
    16: lambda version, topic, _: ListGroupsRequest(states_filter=[], types_filter=[]),
    18: lambda version, topic, _: ApiVersionsRequest(
        client_software_name="wire", client_software_version="1"
    ),
    19: create_topics,
    20: delete_topics,
    21: delete_records,
    22: lambda version, topic, _: InitProducerIdRequest(
        transactional_id=None, transaction_timeout_ms=60_000, producer_id=-1, producer_epoch=-1
    ),
    23: offset_for_leader_epoch,
    29: lambda version, topic, _: DescribeAclsRequest(
        resource_type_filter=1, operation=1, permission_type=1
    ),
    30: create_acls,
    31: lambda version, topic, _: DeleteAclsRequest(
        filters=[
            DeleteAclsRequest.DeleteAclsFilter(
                resource_type_filter=1, operation=1, permission_type=1
            )
        ]
    ),
    32: describe_configs,
    33: alter_configs,
    35: lambda version, topic, _: DescribeLogDirsRequest(topics=None),
    37: create_partitions,
    42: lambda version, topic, _: DeleteGroupsRequest(groups_names=["nobody's"]),
    43: elect_leaders,
    44: incremental_alter_configs,
    45: alter_partition_reassignments,
    46: lambda version, topic, _: ListPartitionReassignmentsRequest(topics=None),
    47: offset_delete,
    48: lambda version, topic, _: DescribeClientQuotasRequest(components=[], strict=False),
    49: alter_client_quotas,
    50: lambda version, topic, _: DescribeUserScramCredentialsRequest(users=None),
    51: alter_user_scram_credentials,
    55: describe_quorum,
    60: lambda version, topic, _: DescribeClusterRequest(),
    61: lambda version, topic, _: DescribeProducersRequest(
        topics=topics_of(
            DescribeProducersRequest, "TopicRequest", name=topic, partition_indexes=[0]
        )
    ),
    65: lambda version, topic, _: DescribeTransactionsRequest(transactional_ids=["none"]),
    66: lambda version, topic, _: ListTransactionsRequest(state_filters=[], producer_id_filters=[]),
    74: lambda version, topic, _: ListConfigResourcesRequest(resource_types=[2]),
    75: lambda version, topic, _: DescribeTopicPartitionsRequest(
        topics=topics_of(DescribeTopicPartitionsRequest, "TopicRequest", name=topic)
    ),
}


def codes_in(message: Any) -> set[int]:
    """Every error code anywhere in a response."""
    found: set[int] = set()
    fields = getattr(message, "fields", None)
    if not isinstance(fields, dict):
        return found
    for name, field in fields.items():
        if message.version is not None and not field.for_version_q(message.version):
            continue
        value = getattr(message, name)
        if name == "error_code":
            found.add(value)
        elif isinstance(value, list):
            for item in value:
                found |= codes_in(item)
        else:
            found |= codes_in(value)
    return found
