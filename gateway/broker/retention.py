"""Retention: records that their topic keeps no longer are deleted, oldest first.

Every now and then all partitions are asked what retention.ms and retention.bytes let go, and one
metadata record says so for all of them (METADATA.md). As in Kafka it is whole parts of the log that
go, here blocks: a record goes with the youngest one of its block, and what lies behind a block that
stays does too. What is gone does not count, however far ahead of its time it was. The times are
those of the records, so what a producer stamps with an old time may go at once; records without a
time are as old as their arrival. Nothing expired costs no write.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from gateway.broker.broker import CATALOG_WAIT_S
from gateway.broker.waiting import STORAGE_TIMEOUT_S, confirmed_in_time, wait_confirmed
from gateway.observe.logger import log_event
from wal_core import Unavailable

if TYPE_CHECKING:
    from gateway.broker.broker import Broker
    from gateway.broker.partition import Partition

logger = logging.getLogger(__name__)

FIRST_CHECK_MS = 30_000  # after a start, or the interval if less: log.initial.task.delay.ms
UNAVAILABLE_MAX_COUNT = 3  # in one sweep; then it is the store, and asking on would only take long
PARTITIONS_PER_TURN_COUNT = 100  # checked in one turn of the loop: well below a millisecond


class Retention:
    """The task that looks: `start` once the broker is open, `stop` before it closes."""

    def __init__(self, broker: Broker, interval_ms: int) -> None:
        self._broker = broker
        self._interval_ms = interval_ms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run(), name="retention")

    async def stop(self) -> None:
        """What it began to delete is deleted all the same, once that is durable."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))
            self._task = None

    async def _run(self) -> None:
        wait_ms = min(FIRST_CHECK_MS, self._interval_ms)
        while True:
            await asyncio.sleep(wait_ms / 1_000)
            wait_ms = self._interval_ms
            try:
                await self.sweep()
            except Exception as error:
                log_event(logger, logging.WARNING, "retention failed", reason=error)

    async def sweep(self) -> int:
        """Look at every partition once; returns from how many records were deleted.

        Raises WalError or TimeoutError when the deletion cannot be written; what a partition
        alone is in the way of is logged.
        """
        # What another node has changed since keeps records that were to go: it is heard first.
        await self._broker.catalog.prove(CATALOG_WAIT_S)
        self._broker.deletions.serve_tombstones()
        expired = await self._expired()
        starts = {p: offset for p, offset in expired.items() if p.is_served and not p.deleted}
        if starts:
            moved = dict.fromkeys(self._broker.delete_records(starts).values())
            await wait_confirmed(moved, STORAGE_TIMEOUT_S)
            for one in moved:
                await confirmed_in_time(one, 0)
            log_event(logger, logging.INFO, "records expired", partitions_count=len(starts))
        return len(starts)

    async def _expired(self) -> dict[Partition, int]:
        """The partitions that may lose records, and where each may start."""
        now_ms, steady_ms = self._broker.now_ms(), self._broker.steady_ms()
        unavailable_count = 0
        starts: dict[Partition, int] = {}
        for number, partition in enumerate(list(self._broker.topics.partitions()), 1):
            if not number % PARTITIONS_PER_TURN_COUNT:
                await asyncio.sleep(0)
            if not partition.is_served:
                continue
            partition.producers.forget(steady_ms)
            try:
                offset = await partition.kept_from(now_ms)
            except Exception as error:
                _complain(partition, error)
                unavailable_count += isinstance(error, Unavailable)
                if unavailable_count == UNAVAILABLE_MAX_COUNT:
                    break
                continue
            if offset > partition.log_start_offset:
                starts[partition] = offset
        return starts


def _complain(partition: Partition, error: Exception) -> None:
    log_event(
        logger,
        logging.WARNING,
        "retention of a partition failed",
        topic=partition.topic.name,
        partition=partition.index,
        reason=error,
    )
