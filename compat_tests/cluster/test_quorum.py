"""Three nodes of mode quorum, each with a logstore, as real processes: one dies, two die, a disk is
lost. `make rounds ARGS='--quorum'` has many more faults."""

import shutil
from pathlib import Path

import pytest
from confluent_kafka import OFFSET_INVALID, Consumer, KafkaError, TopicPartition

from compat_tests.cluster.running import (
    LEASE_S,
    Cluster,
    Load,
    check,
    check_same,
    cluster,
    stored_bytes,
    told,
)
from compat_tests.support.deadline import now_s, wait_until

pytestmark = pytest.mark.storage_blind("it has a bucket of its own")


def consumed(bootstrap: str, group: str, count: int) -> None:
    """A group reads so many and commits."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": group, "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["t"])
    seen: list[TopicPartition] = []

    def is_read() -> bool:
        for message in consumer.consume(500, timeout=0.5):
            assert message.error() is None, message.error()
            seen.append(TopicPartition(message.topic(), message.partition(), message.offset()))
        return len(seen) >= count

    wait_until(is_read, timeout_s=30, what=f"{count} records of a group")
    consumer.commit(asynchronous=False)
    consumer.close()


def committed(bootstrap: str, group: str) -> int:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    places = consumer.committed([TopicPartition("t", index) for index in range(12)], timeout=20)
    consumer.close()
    return sum(place.offset for place in places if place.offset != OFFSET_INVALID)


def led_by_all(running: Cluster) -> bool:
    return set(running.led_by("t")) == {1, 2, 3}


@pytest.mark.slow
def test_a_broker_without_three_logstores_waits_says_so_and_can_be_stopped(tmp_path: Path) -> None:
    with cluster(tmp_path, quorum=True) as running:
        running.spawn(1)
        node = running.nodes[1]
        reason = "quorum mode needs 3 logstores, 1 are registered"
        wait_until(lambda: any(reason in line for line in node.log), what="what it waits for")
        assert node.stop() == 0
        assert not node.ready


@pytest.mark.slow
@pytest.mark.timeout(180)  # everything inside has a deadline
def test_no_acknowledged_record_is_lost_while_two_of_three_disks_live(tmp_path: Path) -> None:
    with cluster(tmp_path, 1, 2, 3, quorum=True) as running:
        running.create("t")
        wait_until(lambda: led_by_all(running), timeout_s=60, what="three leaders")
        load = Load(running.bootstrap, "t")
        load.go_on(1)
        load.flush()
        acked_count = sum(map(len, load.acked.values()))
        consumed(running.bootstrap, "g", acked_count)
        assert committed(running.bootstrap, "g") == acked_count

        moved = running.led_by("t")[1]
        before = stored_bytes(running, "t")
        running.nodes[1].kill()
        killed_s = now_s()
        took_s = load.until_acked(moved, killed_s, 60)
        told("failover after kill -9, mode quorum", took_s)
        assert max(took_s) <= 2 * LEASE_S
        check_same(before, stored_bytes(running, "t"))
        assert committed(running.bootstrap, "g") == acked_count
        running.nodes[1].start()
        load.go_on(1)
        load.flush()

        running.nodes[2].kill()
        running.nodes[3].kill()
        acks_count = len(load.acks)
        load.go_on(2)
        assert len(load.acks) == acks_count, "one of three acknowledged"
        running.nodes[2].start()
        load.until_acked([0, 1, 2], now_s(), 60)
        running.nodes[3].start()
        load.flush()

        running.nodes[1].kill()
        shutil.rmtree(running.logstore_folder(1))
        running.nodes[1].start()  # with another disk
        load.go_on(1)
        load.flush()
        assert {error.code() for error in load.errors} <= {KafkaError._MSG_TIMED_OUT}
        check(load, running.bootstrap, "t")
