"""A look at a few objects, for tests of the parts of a check."""

from __future__ import annotations

from collections.abc import Mapping

from wal_core import LogConfig, LogReport, MemoryStore
from wal_core.fsck.findings import Kind
from wal_core.fsck.inventory import Inventory
from wal_core.fsck.look import Look
from wal_core.fsck.reading import BlockReader
from wal_core.fsck.streams import StreamCheck
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.tests.harness import CountingRng

LOG_ID = 1


async def look_at(stored: Mapping[str, bytes], *, deep: bool = True) -> Look:
    objects = MemoryStore()
    for key, body in stored.items():
        await objects.create(key, [body])
    persist = Persistence(LogConfig(), CountingRng())
    report = LogReport(LOG_ID)
    return Look(
        store=ObjectSegmentStore(objects),
        log_id=LOG_ID,
        deep=deep,
        persist=persist,
        reader=BlockReader(objects, persist),
        inventory=await Inventory.of(objects, LOG_ID, persist),
        report=report,
        streams=StreamCheck({}, report),
        state=None,
        checkpoint=None,
    )


def found_in(look: Look) -> list[tuple[Kind, str]]:
    return [(finding.kind, finding.place) for finding in look.report.findings]
