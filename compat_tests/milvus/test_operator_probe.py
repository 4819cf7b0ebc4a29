"""The readiness probe of milvus-operator: kafka-go, old versions, partly without negotiation."""

from compat_tests.support.deadline import wait_until, wall_ms
from compat_tests.support.gateway import Gateway, Remote
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import api_versions, list_offset, metadata, produce, readable


def test_s24_probe(broker: Gateway | Remote, topic: str) -> None:
    with Connection(broker.bootstrap) as fresh:
        assert metadata(fresh, [], version=1).brokers, "Metadata is the first request here"
    with Connection(broker.bootstrap) as wire:
        assert 3 in api_versions(wire, 0)
        assert metadata(wire, [topic], version=1, create=True).brokers
        wait_until(lambda: readable(wire, topic, {0: 0}), what="the topic to be created")
        empty = list_offset(wire, topic, wall_ms(), version=1)
        assert (empty.error_code, empty.offset) == (0, -1)
        produce(wire, topic, build([b"older than now"]), version=3)
        later = list_offset(wire, topic, wall_ms(), version=1)
        assert (later.error_code, later.offset, later.timestamp) == (0, -1, -1)
