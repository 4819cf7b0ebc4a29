"""A log of three is fenced by another process while clients write to all of them.

The store takes the same time for everything, so that whatever pause the clients of the two other
logs notice comes from the fenced one.
"""

from __future__ import annotations

import asyncio
import dataclasses
from itertools import pairwise

from gateway.server import Gateway
from gateway.settings.config import Config
from gateway.testing.sim.client import RETRIABLE
from gateway.testing.sim.taker import open_data_log
from gateway.tests.harness import NODE, Client, CountingRng, VirtualClock, batch_of, virtual
from wal_core.stores.objects.memory import MemoryStore
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import FaultyObjectStore

LATENCY_S = 0.015
PAUSE_S_MAX = 0.05
"""A segment's end may take three times the latency: the last block, the footer, the next block. If
logs waited for each other, each block would take as long, and a segment's end longer."""
WRITERS_COUNT = 4  # on each log: some blocks are always on their way
FENCED_S, TAKEN_S_MAX, SEEN_S = 2.0, 10.0, 4.0  # when, how long it may take, what comes behind it
SEGMENT_BLOCKS_MAX_COUNT = 40
FENCED_LOG_ID = 2


class Writer:
    """Sends one batch after the other to the partition of a log, on a connection of its own."""

    def __init__(self, gateway: Gateway, log_id: int) -> None:
        self.log_id = log_id
        self.acked_s: list[float] = []
        self.refusals: list[tuple[float, int]] = []
        self._client = Client(gateway.connection())

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            answer = await self._client.produced("t", batch_of(b"x" * 99), index=self.log_id - 1)
            if answer.error_code:
                self.refusals.append((loop.time(), answer.error_code))
                await asyncio.sleep(0.1)
            else:
                self.acked_s.append(loop.time())


async def serving(objects: FaultyObjectStore) -> Gateway:
    """A gateway with three logs and a partition on each; segments end all the time, and are
    compacted."""
    config = Config(data="memory:", logs_count=3)
    gateway = Gateway(config, ObjectSegmentStore(objects), NODE, VirtualClock(), CountingRng())
    gateway.log_config = dataclasses.replace(
        gateway.log_config, segment_blocks_max=SEGMENT_BLOCKS_MAX_COUNT
    )
    await gateway.start()
    assert await Client(gateway.connection()).create("t", partitions=3) == [0]
    topic = gateway.broker.topics.named("t")
    assert topic is not None
    assert [partition.log_id for partition in topic.partitions] == [1, 2, 3]
    return gateway


@virtual
async def test_the_other_logs_do_not_pause() -> None:
    objects = FaultyObjectStore(MemoryStore(), latency_s=LATENCY_S)
    gateway = await serving(objects)
    writers = [Writer(gateway, log_id) for log_id in (1, 2, 3) for _ in range(WRITERS_COUNT)]
    writing = [asyncio.ensure_future(writer.run()) for writer in writers]
    await asyncio.sleep(FENCED_S)
    taken = await asyncio.wait_for(
        open_data_log(
            ObjectSegmentStore(objects),
            Config(data="memory:"),
            dataclasses.replace(gateway.log_config, log_id=FENCED_LOG_ID),
            clock=VirtualClock(),
            rng=CountingRng(),
        ),
        TAKEN_S_MAX,
    )
    taken_s = asyncio.get_running_loop().time()
    await asyncio.sleep(SEEN_S)
    for task in writing:
        task.cancel()
    longest_s = {}
    for log_id in (1, 2, 3):
        mine = [writer for writer in writers if writer.log_id == log_id]
        acked_s = sorted(at_s for writer in mine for at_s in writer.acked_s)
        refusals = [refusal for writer in mine for refusal in writer.refusals]
        if log_id == FENCED_LOG_ID:
            assert {code for _, code in refusals} <= RETRIABLE
            assert len(refusals) > WRITERS_COUNT
            assert acked_s[-1] < taken_s
        else:
            assert not refusals
            assert acked_s[0] < FENCED_S / 2
            assert acked_s[-1] > taken_s + SEEN_S - PAUSE_S_MAX
            longest_s[log_id] = max(late - early for early, late in pairwise(acked_s))
    assert max(longest_s.values()) <= PAUSE_S_MAX
    assert not gateway.broker.logs[FENCED_LOG_ID].is_serving
    await taken.close()
    await gateway.stop()
