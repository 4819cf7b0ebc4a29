import pytest

from gateway.broker.errors import BrokerError
from gateway.broker.topic_rules import OFFSETS_TOPIC
from gateway.tests.harness import World, virtual
from protocol import ErrorCode


@virtual
async def test_the_internal_topic() -> None:
    world = await World().start()
    broker = world.gateway.broker
    with pytest.raises(BrokerError) as refused:
        broker.creations.create(OFFSETS_TOPIC)
    assert refused.value.code is ErrorCode.INVALID_TOPIC_EXCEPTION
    for _ in range(2):
        await world.append_group_records(53, [(b"\x00\x01k", None)])
    topic = broker.topics.named(OFFSETS_TOPIC)
    assert topic is not None
    assert len(topic.partitions) == 50
    assert topic.partitions[3].high_watermark == 2
    with pytest.raises(BrokerError):
        broker.deletions.delete(topic)
