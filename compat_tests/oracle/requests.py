"""For every API a request that is in order, about a target that may not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from compat_tests.oracle.observed import ZERO_ID
from compat_tests.wire.batches import build as build_batch

Fields = dict[str, Any]
TIMEOUT_MS = 10_000
TOPIC_RESOURCE, BROKER_RESOURCE = 2, 4


@dataclass(frozen=True)
class Target:
    """What a request is about; it need not exist."""

    topic: str
    topic_id: UUID = ZERO_ID
    partition: int = 0
    group: str = "nobody"

    @property
    def partitions(self) -> list[int]:
        return [self.partition]


def produce(version: int, target: Target) -> Fields:
    part = {"index": target.partition, "records": build_batch([b"v%d" % version])}
    topic = {"name": target.topic, "topic_id": target.topic_id, "partition_data": [part]}
    return {"acks": -1, "timeout_ms": TIMEOUT_MS, "topic_data": [topic]}


def fetch(version: int, target: Target) -> Fields:
    part = {"partition": target.partition, "partition_max_bytes": 1 << 20, "fetch_offset": 0}
    topic = {"topic": target.topic, "topic_id": target.topic_id, "partitions": [part]}
    return {"topics": [topic], "max_bytes": 1 << 20}


def list_offsets(version: int, target: Target) -> Fields:
    part = {"partition_index": target.partition, "timestamp": -1}
    return {"topics": [{"name": target.topic, "partitions": [part]}], "timeout_ms": TIMEOUT_MS}


def metadata(version: int, target: Target) -> Fields:
    return {
        "topics": [{"name": target.topic}],
        "allow_auto_topic_creation": False,
    }


def offset_commit(version: int, target: Target) -> Fields:
    part = {"partition_index": target.partition, "committed_offset": 0, "committed_metadata": "m"}
    topic = {"name": target.topic, "topic_id": target.topic_id, "partitions": [part]}
    return {"group_id": target.group, "topics": [topic]}


def offset_fetch(version: int, target: Target) -> Fields:
    topic = {
        "name": target.topic,
        "topic_id": target.topic_id,
        "partition_indexes": target.partitions,
    }
    if version >= 8:
        return {"groups": [{"group_id": target.group, "topics": [topic]}]}
    return {
        "group_id": target.group,
        "topics": [{k: v for k, v in topic.items() if k != "topic_id"}],
    }


def find_coordinator(version: int, target: Target) -> Fields:
    return {"key": target.group, "coordinator_keys": [target.group]}


def join_group(version: int, target: Target) -> Fields:
    return {
        "group_id": target.group,
        "session_timeout_ms": 6_000,
        "rebalance_timeout_ms": 6_000,
        "member_id": "never given",
        "protocol_type": "consumer",
        "protocols": [{"name": "range", "metadata": b"m"}],
    }


def sync_group(version: int, target: Target) -> Fields:
    return {
        "group_id": target.group,
        "generation_id": 1,
        "member_id": "never given",
        "protocol_type": "consumer",
        "protocol_name": "range",
    }


def heartbeat(version: int, target: Target) -> Fields:
    return {"group_id": target.group, "generation_id": 1, "member_id": "never given"}


def leave_group(version: int, target: Target) -> Fields:
    member = "never given"
    return {"group_id": target.group, "member_id": member, "members": [{"member_id": member}]}


def create_topics(version: int, target: Target) -> Fields:
    """Of a name that another version has not taken."""
    row = {"name": f"{target.topic}-{version}", "num_partitions": 1, "replication_factor": 1}
    return {"topics": [row], "timeout_ms": TIMEOUT_MS}


def delete_topics(version: int, target: Target) -> Fields:
    """What `create_topics` has made, if it was asked before."""
    name = f"{target.topic}-{version}"
    return {"topics": [{"name": name}], "topic_names": [name], "timeout_ms": TIMEOUT_MS}


def delete_records(version: int, target: Target) -> Fields:
    part = {"partition_index": target.partition, "offset": -1}
    return {"topics": [{"name": target.topic, "partitions": [part]}], "timeout_ms": TIMEOUT_MS}


def offset_for_leader_epoch(version: int, target: Target) -> Fields:
    part = {"partition": target.partition, "leader_epoch": 0}
    return {"replica_id": -1, "topics": [{"topic": target.topic, "partitions": [part]}]}


def describe_configs(version: int, target: Target) -> Fields:
    keys = ["cleanup.policy", "retention.ms"]
    return {
        "resources": [
            {
                "resource_type": TOPIC_RESOURCE,
                "resource_name": target.topic,
                "configuration_keys": keys,
            }
        ],
        "include_synonyms": True,
        "include_documentation": True,
    }


def alter_configs(version: int, target: Target) -> Fields:
    return _altered(target, name="retention.ms", value="86400000")


def incremental_alter_configs(version: int, target: Target) -> Fields:
    return _altered(target, name="retention.ms", value="86400000", config_operation=0)


def _altered(target: Target, **config: Any) -> Fields:
    resource = {"resource_type": TOPIC_RESOURCE, "resource_name": target.topic, "configs": [config]}
    return {"resources": [resource]}


def describe_log_dirs(version: int, target: Target) -> Fields:
    return {"topics": [{"topic": target.topic, "partitions": target.partitions}]}


def create_partitions(version: int, target: Target) -> Fields:
    """One more than the version before asked for."""
    return {"topics": [{"name": target.topic, "count": version + 2}], "timeout_ms": TIMEOUT_MS}


def delete_groups(version: int, target: Target) -> Fields:
    return {"groups_names": [target.group]}


def elect_leaders(version: int, target: Target) -> Fields:
    return {
        "topic_partitions": [{"topic": target.topic, "partitions": target.partitions}],
        "timeout_ms": TIMEOUT_MS,
    }


def alter_partition_reassignments(version: int, target: Target) -> Fields:
    part = {"partition_index": target.partition, "replicas": [1]}
    return {"topics": [{"name": target.topic, "partitions": [part]}], "timeout_ms": TIMEOUT_MS}


def list_partition_reassignments(version: int, target: Target) -> Fields:
    topic = {"name": target.topic, "partition_indexes": target.partitions}
    return {"topics": [topic], "timeout_ms": TIMEOUT_MS}


def offset_delete(version: int, target: Target) -> Fields:
    part = {"partition_index": target.partition}
    return {"group_id": target.group, "topics": [{"name": target.topic, "partitions": [part]}]}


def describe_producers(version: int, target: Target) -> Fields:
    return {"topics": [{"name": target.topic, "partition_indexes": target.partitions}]}


def describe_quorum(version: int, target: Target) -> Fields:
    topic = {"topic_name": "__cluster_metadata", "partitions": [{"partition_index": 0}]}
    return {"topics": [topic]}


def describe_acls(version: int, target: Target) -> Fields:
    return {
        "resource_type_filter": 1,
        "resource_name_filter": None,
        "pattern_type_filter": 1,
        "principal_filter": None,
        "host_filter": None,
        "operation": 1,
        "permission_type": 1,
    }


def create_acls(version: int, target: Target) -> Fields:
    row = {"resource_type": 2, "resource_name": target.topic, "principal": "User:a", "host": "*"}
    return {"creations": [{**row, "operation": 3, "permission_type": 3}]}


def alter_user_scram_credentials(version: int, target: Target) -> Fields:
    return {"deletions": [{"name": "nobody", "mechanism": 1}]}


def alter_client_quotas(version: int, target: Target) -> Fields:
    return {
        "entries": [
            {
                "entity": [{"entity_type": "client-id", "entity_name": f"someone-{version}"}],
                "ops": [{"key": "producer_byte_rate", "value": 1e9}],
            }
        ]
    }


SOFTWARE = {"client_software_name": "oracle", "client_software_version": "1.0"}

REQUESTS: dict[str, Callable[[int, Target], Fields]] = {
    "Produce": produce,
    "Fetch": fetch,
    "ListOffsets": list_offsets,
    "Metadata": metadata,
    "OffsetCommit": offset_commit,
    "OffsetFetch": offset_fetch,
    "FindCoordinator": find_coordinator,
    "JoinGroup": join_group,
    "Heartbeat": heartbeat,
    "LeaveGroup": leave_group,
    "SyncGroup": sync_group,
    "DescribeGroups": lambda version, target: {"groups": [target.group]},
    "ListGroups": lambda version, target: {},
    "ApiVersions": lambda version, target: SOFTWARE,
    "CreateTopics": create_topics,
    "DeleteTopics": delete_topics,
    "DeleteRecords": delete_records,
    "InitProducerId": lambda version, target: {
        "transactional_id": None,
        "transaction_timeout_ms": 60_000,
    },
    "OffsetForLeaderEpoch": offset_for_leader_epoch,
    "DescribeAcls": describe_acls,
    "CreateAcls": create_acls,
    "DeleteAcls": lambda version, target: {"filters": [describe_acls(version, target)]},
    "DescribeConfigs": describe_configs,
    "AlterConfigs": alter_configs,
    "DescribeLogDirs": describe_log_dirs,
    "CreatePartitions": create_partitions,
    "DeleteGroups": delete_groups,
    "ElectLeaders": elect_leaders,
    "IncrementalAlterConfigs": incremental_alter_configs,
    "AlterPartitionReassignments": alter_partition_reassignments,
    "ListPartitionReassignments": list_partition_reassignments,
    "OffsetDelete": offset_delete,
    "DescribeClientQuotas": lambda version, target: {},
    "AlterClientQuotas": alter_client_quotas,
    "DescribeUserScramCredentials": lambda version, target: {"users": None},
    "AlterUserScramCredentials": alter_user_scram_credentials,
    "DescribeQuorum": describe_quorum,
    "DescribeCluster": lambda version, target: {},
    "DescribeProducers": describe_producers,
    "DescribeTransactions": lambda version, target: {"transactional_ids": [target.group]},
    "ListTransactions": lambda version, target: {},
    "ListConfigResources": lambda version, target: {},
    "DescribeTopicPartitions": lambda version, target: {"topics": [{"name": target.topic}]},
}
"""`version` keeps apart what several versions of one API make in turn."""

# Whose answer depends on what the target is.
ABOUT_PARTITIONS = (
    "Produce", "Fetch", "ListOffsets", "OffsetCommit", "OffsetFetch", "DeleteRecords",
    "OffsetForLeaderEpoch", "DescribeLogDirs", "ElectLeaders", "AlterPartitionReassignments",
    "ListPartitionReassignments", "OffsetDelete", "DescribeProducers",
)  # fmt: skip
ABOUT_TOPICS = (
    *ABOUT_PARTITIONS, "Metadata", "CreateTopics", "DeleteTopics", "DescribeConfigs",
    "AlterConfigs", "IncrementalAlterConfigs", "CreatePartitions", "DescribeTopicPartitions",
)  # fmt: skip
ABOUT_GROUPS = (
    "OffsetCommit", "OffsetFetch", "FindCoordinator", "JoinGroup", "Heartbeat", "LeaveGroup",
    "SyncGroup", "DescribeGroups", "DeleteGroups", "OffsetDelete",
)  # fmt: skip
