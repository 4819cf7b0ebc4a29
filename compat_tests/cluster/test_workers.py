"""Workers of one machine behind one address, as real processes: one dies, and clients go on."""

from pathlib import Path

import psutil
import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

from compat_tests.cluster.running import PARTITIONS, Load, check, told
from compat_tests.support.deadline import now_s, wait_until
from compat_tests.support.gateway import Gateway

pytestmark = pytest.mark.storage_blind("it has a folder of its own, in both modes")

LEASE_S = 60  # so long that nothing here would go on if it had to end


@pytest.mark.slow
@pytest.mark.parametrize("stored", ["file", "object"])
def test_a_worker_that_is_killed_is_replaced_and_nothing_acknowledged_is_lost(
    tmp_path: Path, stored: str
) -> None:
    options = ("--workers", "2", "--logs-count", "4", "--node-lease-ms", f"{LEASE_S}s")
    with Gateway(str(tmp_path / "data"), mode=stored, options=options) as gateway:
        admin = AdminClient({"bootstrap.servers": gateway.bootstrap})

        def is_made() -> bool:
            try:
                admin.create_topics([NewTopic("t", PARTITIONS)])["t"].result()
            except KafkaException:  # not yet
                return False
            return True

        def leaders() -> set[int]:
            partitions = admin.list_topics("t", timeout=10).topics["t"].partitions.values()
            return {partition.leader for partition in partitions}

        wait_until(is_made, timeout_s=60, what="a topic")
        wait_until(lambda: leaders() == {1, 2}, timeout_s=60, what="two leaders")
        load = Load(gateway.bootstrap, "t")
        load.go_on(1)
        load.flush()
        victim = psutil.Process(gateway.pid).children()[0]
        victim.kill()
        took_s = load.until_acked(list(range(PARTITIONS)), now_s(), LEASE_S / 2)
        told(f"a worker killed with -9, mode {stored}", took_s)
        wait_until(lambda: leaders() == {1, 2}, timeout_s=60, what="the worker that took its place")
        load.go_on(1)
        load.flush()
        assert load.errors == []
        check(load, gateway.bootstrap, "t")
        assert gateway.stop() == 0
        assert gateway.tracebacks_count == 0
    with Gateway(str(tmp_path / "data"), mode=stored, options=("--logs-count", "4")) as alone:
        check(load, alone.bootstrap, "t")
