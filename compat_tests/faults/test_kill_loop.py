"""kill -9 at random moments under load: nothing acked is lost, nothing repeated, no gap.

The moments come from `--seed`; most kills hit a broker that has acked something since its start,
some one that has just come up, some one that is still recovering. `--kills` sets their number.
"""

from collections.abc import Callable
from random import Random  # noqa: TID251 - for its type; made by `seeded`

import pytest

from compat_tests.faults.load import Load, Snapshots, check_load, read_logs
from compat_tests.support.client import Client, Library
from compat_tests.support.deadline import now_s, pause, seeded, wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic

PARTITIONS = (0, 1, 2)
RUN_S_MAX = 0.4
RECOVERY_S_MAX = 0.25
PROGRESS_TIMEOUT_S = 60.0
SNAPSHOT_EVERY_COUNT = 5
# Who is idempotent changes with the mode, so that both clients are tested as both.
PAIRS = {
    "file": ("confluent-kafka", "kafka-python"),
    "object": ("kafka-python", "confluent-kafka"),
    "s3": ("confluent-kafka", "kafka-python"),
    "gs": ("kafka-python", "confluent-kafka"),
    "az": ("confluent-kafka", "kafka-python"),
}


@pytest.mark.kill
@pytest.mark.timeout(900)
def test_kill_loop(
    mode: str,
    request: pytest.FixtureRequest,
    own_gateway: Callable[..., Gateway],
    need: Callable[[str], Library],
    launch: Callable[..., Client],
    topic: str,
) -> None:
    kills_count = request.config.getoption("--kills")
    random = seeded(request.config.getoption("--seed"))
    gateway = own_gateway(mode)
    with Connection(gateway.bootstrap) as connection:
        create_topic(connection, topic, partitions=len(PARTITIONS))
    idempotent, plain = (launch(need(name), gateway) for name in PAIRS[mode])
    loads = [
        Load(idempotent, topic, name="idempotent", partitions=(0, 2), idempotent=True),
        Load(plain, topic, name="plain", partitions=(1, 2), idempotent=False),
    ]
    for load in loads:
        load.start()
    snapshots = Snapshots()
    started_s = now_s()
    for number in range(kills_count):
        let_run(gateway, loads, random)
        gateway.kill()
        if random.random() < 0.2:
            gateway.spawn()
            pause(random.uniform(0, RECOVERY_S_MAX))
            gateway.kill()
        gateway.start()
        if number % SNAPSHOT_EVERY_COUNT == 0:
            snapshots.take(read_logs(gateway, topic, PARTITIONS))
    duration_s = now_s() - started_s
    for load in loads:
        load.finish()

    logs = read_logs(gateway, topic, PARTITIONS)
    snapshots.take(logs)
    for load in loads:
        check_load(load, logs)
    for graceful in (False, True):
        gateway.restart(graceful=graceful)
        again = read_logs(gateway, topic, PARTITIONS)
        assert {p: len(log.values) for p, log in again.items()} == {
            p: len(log.values) for p, log in logs.items()
        }
        snapshots.check(again)
    acked = ", ".join(f"{load.name} {len(load.acked)} acked" for load in loads)
    stored = sum(len(log.values) for log in logs.values())
    print(f"{mode}: {kills_count} kills in {duration_s:.0f} s; {acked}; {stored} records stored")
    assert all(load.acked for load in loads)


def let_run(gateway: Gateway, loads: list[Load], random: Random) -> None:
    """Mostly until both have been served since the start, then for a random while."""
    if random.random() < 0.75:
        before = [len(load.acked) for load in loads]
        wait_until(
            lambda: (
                any(load.failure for load in loads)
                or all(len(load.acked) > n for load, n in zip(loads, before, strict=True))
            ),
            timeout_s=PROGRESS_TIMEOUT_S,
            what="progress of both producers",
        )
        for load in loads:
            if load.failure is not None:
                raise load.failure
    pause(random.uniform(0, RUN_S_MAX))
    assert gateway.running, "the broker died by itself:\n" + "\n".join(gateway.log)
