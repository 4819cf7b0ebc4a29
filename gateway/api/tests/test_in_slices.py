"""Whatever is asked for in thousands leaves the loop to others in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any

import pytest

from gateway.api import API_TABLE, Call
from gateway.broker.order_line import OrderLine
from gateway.fairness import slices
from gateway.fairness.reply_share import ReplyRoom
from gateway.fairness.turns import Turns
from gateway.tests.harness import World, run
from protocol import ApiKey as K
from protocol import RequestHeader
from protocol.messages.alter_configs import AlterConfigsRequest, AlterConfigsResource
from protocol.messages.create_topics import CreatableTopic, CreateTopicsRequest
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
from protocol.messages.find_coordinator import FindCoordinatorRequest
from protocol.messages.leave_group import LeaveGroupRequest, MemberIdentity
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic
from protocol.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from protocol.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from protocol.messages.offset_fetch import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopics,
)
from protocol.messages.offset_for_leader_epoch import (
    OffsetForLeaderEpochRequest,
    OffsetForLeaderPartition,
    OffsetForLeaderTopic,
)


class Turns_given:  # noqa: N801 - reads as what it counts
    """Awaits a handler and counts how often it let the loop go on without waiting for anything."""

    def __init__(self, handler: Awaitable[Any]) -> None:
        self._handler = handler
        self.count = 0

    def __await__(self) -> Generator[Any, None, Any]:
        steps = self._handler.__await__()
        while True:
            try:
                waited_for = next(steps)
            except StopIteration as end:
                return end.value
            self.count += waited_for is None
            yield waited_for


def names(count: int) -> list[str]:
    return [f"n{n}" for n in range(count)]


REQUESTS = {
    K.METADATA: lambda n: MetadataRequest(
        topics=[MetadataRequestTopic(name=name) for name in names(n)],
        allow_auto_topic_creation=False,
    ),
    K.CREATE_TOPICS: lambda n: CreateTopicsRequest(
        topics=[
            CreatableTopic(name=name, num_partitions=0, replication_factor=1) for name in names(n)
        ]
    ),
    K.DELETE_TOPICS: lambda n: DeleteTopicsRequest(
        topics=[DeleteTopicState(name=name) for name in names(n)]
    ),
    K.DELETE_RECORDS: lambda n: DeleteRecordsRequest(
        topics=[
            DeleteRecordsTopic(
                name="t",
                partitions=[DeleteRecordsPartition(partition_index=i, offset=0) for i in range(n)],
            )
        ]
    ),
    K.DESCRIBE_CONFIGS: lambda n: DescribeConfigsRequest(
        resources=[
            DescribeConfigsResource(resource_type=2, resource_name=name) for name in names(n)
        ]
    ),
    K.ALTER_CONFIGS: lambda n: AlterConfigsRequest(
        resources=[
            AlterConfigsResource(resource_type=2, resource_name=name, configs=[])
            for name in names(n)
        ]
    ),
    K.DESCRIBE_LOG_DIRS: lambda n: DescribeLogDirsRequest(
        topics=[DescribableLogDirTopic(topic="t", partitions=list(range(n)))]
    ),
    K.DESCRIBE_GROUPS: lambda n: DescribeGroupsRequest(groups=names(n)),
    K.DELETE_GROUPS: lambda n: DeleteGroupsRequest(groups_names=names(n)),
    K.OFFSET_DELETE: lambda n: OffsetDeleteRequest(
        group_id="g",
        topics=[OffsetDeleteRequestTopic("t", [OffsetDeleteRequestPartition(i) for i in range(n)])],
    ),
    K.FIND_COORDINATOR: lambda n: FindCoordinatorRequest(coordinator_keys=names(n)),
    K.LEAVE_GROUP: lambda n: LeaveGroupRequest(
        group_id="g", members=[MemberIdentity(member_id=name) for name in names(n)]
    ),
    K.LIST_OFFSETS: lambda n: ListOffsetsRequest(
        topics=[
            ListOffsetsTopic(
                name="t",
                partitions=[
                    ListOffsetsPartition(partition_index=i, timestamp=-1) for i in range(n)
                ],
            )
        ]
    ),
    K.OFFSET_COMMIT: lambda n: OffsetCommitRequest(
        group_id="g",
        topics=[
            OffsetCommitRequestTopic(
                name="t", partitions=[OffsetCommitRequestPartition(i, 0) for i in range(n)]
            )
        ],
    ),
    K.OFFSET_FETCH: lambda n: OffsetFetchRequest(
        groups=[
            OffsetFetchRequestGroup(
                "g", topics=[OffsetFetchRequestTopics(name="t", partition_indexes=list(range(n)))]
            )
        ]
    ),
    K.OFFSET_FOR_LEADER_EPOCH: lambda n: OffsetForLeaderEpochRequest(
        topics=[
            OffsetForLeaderTopic(
                topic="t",
                partitions=[
                    OffsetForLeaderPartition(partition=i, leader_epoch=0) for i in range(n)
                ],
            )
        ]
    ),
}


AT_ONCE_COUNT = {K.OFFSET_FETCH: 250, K.LEAVE_GROUP: 25, K.DELETE_GROUPS: 25}


async def turns_given(world: World, key: K, count: int) -> int:
    connection = world.client().connection
    header = RequestHeader(key, API_TABLE[key].max_version, 1)
    services = connection._hub.services
    room = ReplyRoom(connection._share)
    call = Call(header, "192.0.2.1", services, Turns(), OrderLine(), services.lookups.share(), room)
    served = Turns_given(API_TABLE[key].handle(REQUESTS[key](count), call))
    await served
    return served.count


@pytest.mark.parametrize("key", REQUESTS)
def test_a_request_lets_the_loop_go_on_between_its_items(
    key: K, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as there are items, when the time for each slice is over at once."""
    monkeypatch.setattr(slices, "SLICE_S", -1.0)
    run(_count_turns, key)


async def _count_turns(key: K) -> None:
    world = await World().start()
    tasks_count = len(asyncio.all_tasks())
    given = [await turns_given(world, key, n * 1_000) for n in (1, 2, 4)]
    at_once_count = AT_ONCE_COUNT.get(key, 1)
    assert given[0] >= 1_000 / at_once_count
    # In proportion, so nothing in it is done for all at once, or in tasks of their own.
    assert given[2] - given[1] == 2 * (given[1] - given[0])
    assert len(asyncio.all_tasks()) == tasks_count
