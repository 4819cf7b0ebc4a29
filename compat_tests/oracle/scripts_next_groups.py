"""The group protocol of KIP-848, which is not served: how it is refused.

kafka-python does not know its messages; kio does.
"""

from __future__ import annotations

import io
from datetime import timedelta

from kio.index import load_entity_module
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from compat_tests.oracle.script import add
from compat_tests.oracle.side import CLOSED, Side

CONSUMER_GROUP_HEARTBEAT = 68
NAME = "consumer_group_heartbeat"


def encoded(version: int, group: str, topic: str) -> bytes:
    """A first heartbeat, of somebody who wants to join."""
    kind = load_entity_module(NAME, version, EntityType.request).ConsumerGroupHeartbeatRequest
    request = kind(
        group_id=group,
        member_id="Zm9yIHdob20gaXQgaXM",
        member_epoch=0,
        rebalance_timeout=timedelta(seconds=60),
        subscribed_topic_names=(topic,),
        topic_partitions=(),
    )
    out = io.BytesIO()
    entity_writer(kind)(out, request)
    return out.getvalue()


def heartbeat(side: Side) -> None:
    topic, group = side.topic(), side.new_name()
    side.commit(side.new_name(), topic, 0)  # a coordinator is up
    for version in side.versions.get(CONSUMER_GROUP_HEARTBEAT, []):
        body = encoded(version, group, topic)
        reply = side.ask_encoded(CONSUMER_GROUP_HEARTBEAT, version, body)
        if reply is None:
            side.note(f"ConsumerGroupHeartbeat v{version}", CLOSED)
            continue
        kind = load_entity_module(NAME, version, EntityType.response).ConsumerGroupHeartbeatResponse
        told, _ = entity_reader(kind)(reply, 0)
        side.note(
            f"ConsumerGroupHeartbeat v{version}",
            {"error_code": int(told.error_code), "error_message": told.error_message},
        )


add("ConsumerGroupHeartbeat: a first one", heartbeat)
add("ConsumerGroupHeartbeat: a first one (newest)", heartbeat, newest=True)
