"""The handler table: every API that is served, its versions, its handler.

Start reading here. ApiVersions, the matrix in the README and the metric labels are derived from
this table; adding an API is adding a row (protocol/WIRE.md says how). A handler translates and
holds no state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from gateway.api import (
    alter_configs,
    client_quotas,
    cluster,
    configs,
    group_admin,
    group_offsets,
    groups,
    leaders,
    log_dirs,
    offsets,
    partitions,
    produce,
    produce_small,
    producers,
    quorum,
    records,
    security,
    topic_partitions,
    topics,
)
from gateway.api.call import Call, CloseConnection, Services, error_code
from gateway.api.fetch import fetch, fetch_error
from gateway.api.row import Api, Begun, Operation, Permission, ReplyClass, Resource, always
from gateway.broker.errors import BrokerError
from gateway.groups.members import PROTOCOLS_MAX_COUNT
from protocol import ApiKey, ErrorCode
from protocol.messages.api_versions import ApiVersion, ApiVersionsRequest, ApiVersionsResponse

__all__ = [
    "API_TABLE",
    "Api",
    "Begun",
    "Call",
    "CloseConnection",
    "Operation",
    "Permission",
    "ReplyClass",
    "Resource",
    "Services",
    "error_code",
]


FIRST_VERSION_WITH_SOFTWARE = 3
_SOFTWARE = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?")


async def api_versions(request: ApiVersionsRequest, call: Call) -> ApiVersionsResponse:
    """ApiVersions (18), versions 0-5: this table, without feature flags (no transactions v2, no
    KIP-848). Who names its software names it so that metrics can show it (KIP-511); who says whom
    it means to reach is told when it has reached somebody else (KIP-1242).
    """
    if call.version >= FIRST_VERSION_WITH_SOFTWARE:
        for name in (request.client_software_name, request.client_software_version):
            if not _SOFTWARE.fullmatch(name):
                raise BrokerError(ErrorCode.INVALID_REQUEST)
    cluster.check_destination(request, call)
    return ApiVersionsResponse(
        api_keys=[
            ApiVersion(api_key=api.key, min_version=api.min_version, max_version=api.max_version)
            for api in API_TABLE.values()
        ]
    )


def api_versions_error(request: ApiVersionsRequest, code: ErrorCode) -> ApiVersionsResponse:
    """As Kafka: only the range of ApiVersions itself, to ask again by (KIP-511)."""
    if code is not ErrorCode.UNSUPPORTED_VERSION:
        return ApiVersionsResponse(error_code=code)
    own = API_TABLE[ApiKey.API_VERSIONS]
    row = ApiVersion(api_key=own.key, min_version=own.min_version, max_version=own.max_version)
    return ApiVersionsResponse(error_code=code, api_keys=[row])


_READ_TOPIC = Permission(Operation.READ, Resource.TOPIC)
_WRITE_TOPIC = Permission(Operation.WRITE, Resource.TOPIC)
_CREATE_TOPIC = Permission(Operation.CREATE, Resource.TOPIC)
_DELETE_TOPIC = Permission(Operation.DELETE, Resource.TOPIC)
_ALTER_TOPIC = Permission(Operation.ALTER, Resource.TOPIC)
_DESCRIBE_TOPIC = Permission(Operation.DESCRIBE, Resource.TOPIC)
_DESCRIBE_CONFIGS_TOPIC = Permission(Operation.DESCRIBE_CONFIGS, Resource.TOPIC)
_ALTER_CONFIGS_TOPIC = Permission(Operation.ALTER_CONFIGS, Resource.TOPIC)
_DESCRIBE_CONFIGS_CLUSTER = Permission(Operation.DESCRIBE_CONFIGS, Resource.CLUSTER)
_ALTER_CONFIGS_CLUSTER = Permission(Operation.ALTER_CONFIGS, Resource.CLUSTER)
_READ_GROUP = Permission(Operation.READ, Resource.GROUP)
_DELETE_GROUP = Permission(Operation.DELETE, Resource.GROUP)
_DESCRIBE_GROUP = Permission(Operation.DESCRIBE, Resource.GROUP)
_DESCRIBE_CLUSTER = Permission(Operation.DESCRIBE, Resource.CLUSTER)
_ALTER_CLUSTER = Permission(Operation.ALTER, Resource.CLUSTER)
_DESCRIBE_TRANSACTION = Permission(Operation.DESCRIBE, Resource.TRANSACTIONAL_ID)

K = ApiKey
_ROWS = (
    # Produce begins at 0 for old librdkafka (KAFKA-18659).
    Api(
        K.PRODUCE,
        0,
        13,
        produce.produce,
        produce.produce_error,
        _WRITE_TOPIC,
        pipelined=True,
        brings_data=True,
        # Decoded on the loop, in the order of arrival; a partition has 61 bytes at least.
        elements_max_count=20_000,
        at_once=produce_small.AT_ONCE,
    ),
    Api(
        K.FETCH,
        0,
        18,
        fetch,
        fetch_error,
        _READ_TOPIC,
        pipelined=True,
        parks=True,
        reply=ReplyClass.DATA,
        of_owner=True,
    ),
    Api(
        K.LIST_OFFSETS,
        0,
        11,
        offsets.list_offsets,
        offsets.list_offsets_error,
        _DESCRIBE_TOPIC,
        reply=ReplyClass.LARGE,
        of_owner=True,
    ),
    Api(
        K.METADATA,
        0,
        13,
        cluster.metadata,
        cluster.metadata_error,
        _DESCRIBE_TOPIC,
        reply=ReplyClass.LARGE,
        weigh=cluster.metadata_weight,
    ),
    Api(
        K.OFFSET_COMMIT,
        0,
        10,
        group_offsets.offset_commit,
        group_offsets.offset_commit_error,
        _READ_GROUP,
    ),
    Api(
        K.OFFSET_FETCH,
        0,
        10,
        group_offsets.offset_fetch,
        group_offsets.offset_fetch_error,
        _DESCRIBE_GROUP,
        reply=ReplyClass.LARGE,
        weigh=group_offsets.offset_fetch_weight,
        of_owner=True,
    ),
    Api(
        K.FIND_COORDINATOR,
        0,
        6,
        groups.find_coordinator,
        groups.find_coordinator_error,
        _DESCRIBE_GROUP,
    ),
    Api(
        K.JOIN_GROUP,
        0,
        9,
        groups.join_group,
        groups.join_group_error,
        _READ_GROUP,
        parks=True,
        elements_max_count=PROTOCOLS_MAX_COUNT,
        answers_excess=True,
        of_owner=True,
    ),
    Api(
        K.HEARTBEAT,
        0,
        4,
        groups.heartbeat,
        groups.heartbeat_error,
        _READ_GROUP,
        of_owner=True,
    ),
    Api(K.LEAVE_GROUP, 0, 5, groups.leave_group, groups.leave_group_error, _READ_GROUP),
    Api(
        K.SYNC_GROUP,
        0,
        5,
        groups.sync_group,
        groups.sync_group_error,
        _READ_GROUP,
        parks=True,
        of_owner=True,
    ),
    Api(
        K.DESCRIBE_GROUPS,
        0,
        6,
        group_admin.describe_groups,
        group_admin.describe_groups_error,
        _DESCRIBE_GROUP,
        reply=ReplyClass.LARGE,
        weigh=group_admin.describe_groups_weight,
        of_owner=True,
    ),
    Api(
        K.LIST_GROUPS,
        0,
        5,
        group_admin.list_groups,
        group_admin.list_groups_error,
        _DESCRIBE_CLUSTER,
        reply=ReplyClass.LARGE,
        weigh=group_admin.list_groups_weight,
    ),
    Api(
        K.API_VERSIONS,
        0,
        5,
        api_versions,
        api_versions_error,
        None,
        answers_any_version=True,
    ),
    Api(
        K.CREATE_TOPICS,
        0,
        7,
        topics.create_topics,
        topics.create_topics_error,
        _CREATE_TOPIC,
        weigh=topics.create_topics_weight,
        of_controller=always,
    ),
    Api(
        K.DELETE_TOPICS,
        0,
        6,
        topics.delete_topics,
        topics.delete_topics_error,
        _DELETE_TOPIC,
        of_controller=always,
    ),
    Api(
        K.DELETE_RECORDS, 0, 2, records.delete_records, records.delete_records_error, _DELETE_TOPIC
    ),
    Api(
        K.INIT_PRODUCER_ID,
        0,
        5,
        produce.init_producer_id,
        produce.init_producer_id_error,
        _WRITE_TOPIC,
    ),
    Api(
        K.OFFSET_FOR_LEADER_EPOCH,
        0,
        4,
        offsets.offset_for_leader_epoch,
        offsets.offset_for_leader_epoch_error,
        _DESCRIBE_TOPIC,
        of_owner=True,
    ),
    Api(
        K.DESCRIBE_ACLS,
        0,
        3,
        security.describe_acls,
        security.describe_acls_error,
        _DESCRIBE_CLUSTER,
    ),
    Api(
        K.CREATE_ACLS,
        0,
        3,
        security.create_acls,
        security.create_acls_error,
        _ALTER_CLUSTER,
    ),
    Api(
        K.DELETE_ACLS,
        0,
        3,
        security.delete_acls,
        security.delete_acls_error,
        _ALTER_CLUSTER,
    ),
    Api(
        K.DESCRIBE_CONFIGS,
        0,
        4,
        configs.describe_configs,
        configs.describe_configs_error,
        _DESCRIBE_CONFIGS_TOPIC,
        reply=ReplyClass.LARGE,
        weigh=configs.describe_configs_weight,
    ),
    Api(
        K.ALTER_CONFIGS,
        0,
        2,
        alter_configs.alter_configs,
        alter_configs.alter_configs_error,
        _ALTER_CONFIGS_TOPIC,
        of_controller=alter_configs.is_stored,
    ),
    Api(
        K.CREATE_PARTITIONS,
        0,
        3,
        partitions.create_partitions,
        partitions.create_partitions_error,
        _ALTER_TOPIC,
        of_controller=always,
    ),
    Api(
        K.DESCRIBE_LOG_DIRS,
        0,
        5,
        log_dirs.describe_log_dirs,
        log_dirs.describe_log_dirs_error,
        _DESCRIBE_CLUSTER,
        reply=ReplyClass.LARGE,
        weigh=log_dirs.describe_log_dirs_weight,
    ),
    Api(
        K.DELETE_GROUPS,
        0,
        3,
        group_admin.delete_groups,
        group_admin.delete_groups_error,
        _DELETE_GROUP,
    ),
    Api(
        K.ELECT_LEADERS,
        0,
        2,
        leaders.elect_leaders,
        leaders.elect_leaders_error,
        _ALTER_CLUSTER,
    ),
    Api(
        K.INCREMENTAL_ALTER_CONFIGS,
        0,
        1,
        alter_configs.incremental_alter_configs,
        alter_configs.incremental_alter_configs_error,
        _ALTER_CONFIGS_TOPIC,
        of_controller=alter_configs.is_stored,
    ),
    Api(
        K.ALTER_PARTITION_REASSIGNMENTS,
        0,
        1,
        leaders.alter_partition_reassignments,
        leaders.alter_partition_reassignments_error,
        _ALTER_CLUSTER,
    ),
    Api(
        K.LIST_PARTITION_REASSIGNMENTS,
        0,
        0,
        leaders.list_partition_reassignments,
        leaders.list_partition_reassignments_error,
        _DESCRIBE_CLUSTER,
    ),
    Api(
        K.OFFSET_DELETE,
        0,
        0,
        group_admin.offset_delete,
        group_admin.offset_delete_error,
        _DELETE_GROUP,
    ),
    Api(
        K.DESCRIBE_CLIENT_QUOTAS,
        0,
        1,
        client_quotas.describe_client_quotas,
        client_quotas.describe_client_quotas_error,
        _DESCRIBE_CONFIGS_CLUSTER,
        reply=ReplyClass.LARGE,
        weigh=client_quotas.describe_client_quotas_weight,
    ),
    Api(
        K.ALTER_CLIENT_QUOTAS,
        0,
        1,
        client_quotas.alter_client_quotas,
        client_quotas.alter_client_quotas_error,
        _ALTER_CONFIGS_CLUSTER,
        of_controller=always,
    ),
    Api(
        K.DESCRIBE_USER_SCRAM_CREDENTIALS,
        0,
        0,
        security.describe_user_scram_credentials,
        security.describe_user_scram_credentials_error,
        _DESCRIBE_CLUSTER,
    ),
    Api(
        K.ALTER_USER_SCRAM_CREDENTIALS,
        0,
        0,
        security.alter_user_scram_credentials,
        security.alter_user_scram_credentials_error,
        _ALTER_CLUSTER,
    ),
    Api(
        K.DESCRIBE_QUORUM,
        0,
        2,
        quorum.describe_quorum,
        quorum.describe_quorum_error,
        _DESCRIBE_CLUSTER,
        of_controller=always,
    ),
    Api(
        K.DESCRIBE_CLUSTER,
        0,
        2,
        cluster.describe_cluster,
        cluster.describe_cluster_error,
        _DESCRIBE_CLUSTER,
    ),
    Api(
        K.DESCRIBE_PRODUCERS,
        0,
        0,
        producers.describe_producers,
        producers.describe_producers_error,
        _READ_TOPIC,
        reply=ReplyClass.LARGE,
        weigh=producers.describe_producers_weight,
    ),
    Api(
        K.DESCRIBE_TRANSACTIONS,
        0,
        0,
        producers.describe_transactions,
        producers.describe_transactions_error,
        _DESCRIBE_TRANSACTION,
    ),
    Api(
        K.LIST_TRANSACTIONS,
        0,
        1,
        producers.list_transactions,
        producers.list_transactions_error,
        _DESCRIBE_TRANSACTION,
    ),
    Api(
        K.CONSUMER_GROUP_HEARTBEAT,
        0,
        1,
        groups.consumer_group_heartbeat,
        groups.consumer_group_heartbeat_error,
        _READ_GROUP,
    ),
    Api(
        K.LIST_CONFIG_RESOURCES,
        0,
        1,
        configs.list_config_resources,
        configs.list_config_resources_error,
        _DESCRIBE_CONFIGS_CLUSTER,
        reply=ReplyClass.LARGE,
        weigh=configs.list_config_resources_weight,
    ),
    Api(
        K.DESCRIBE_TOPIC_PARTITIONS,
        0,
        0,
        topic_partitions.describe_topic_partitions,
        topic_partitions.describe_topic_partitions_error,
        _DESCRIBE_TOPIC,
    ),
)
API_TABLE: Mapping[int, Api] = {row.key: row for row in _ROWS}
