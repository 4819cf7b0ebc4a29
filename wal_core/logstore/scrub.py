"""Looks at all blocks that a logstore holds, again and again and slowly: is what was written there?

What is damaged is told and counted, and left as it is: others have it, until the bucket does.
"""

from __future__ import annotations

import asyncio
import logging

from wal_core.errors import Corrupt, Unavailable
from wal_core.format.block import parse_block
from wal_core.logstore.logstore import Logstore

MIB = 1024 * 1024
STRETCH_BYTES = MIB
"""Read at a time; checked at a time is a block."""

_logger = logging.getLogger(__name__)


class Scrub:
    """Of one logstore: `run` until cancelled."""

    def __init__(
        self, store: Logstore, *, bytes_per_s: float = 8 * MIB, pause_s: float = 3600
    ) -> None:
        """`pause_s` lies between two rounds. More bytes a second: a shorter round, for more of the
        disk's time."""
        self._store = store
        self._bytes_per_s = bytes_per_s
        self._pause_s = pause_s
        self.looked_bytes = 0
        """At whole blocks, since the start."""
        self.rounds_count = 0
        self.damaged: set[tuple[int, int, int]] = set()
        """Log, segment and block, as of the last look at each."""

    async def run(self) -> None:
        while True:
            for log_id, segment in self._store.segments():
                await self._look(log_id, segment)
            known = set(self._store.segments())
            self.damaged = {place for place in self.damaged if place[:2] in known}
            self.rounds_count += 1
            await asyncio.sleep(self._pause_s)

    async def _look(self, log_id: int, segment: int) -> None:
        number = 0
        while True:
            try:
                lengths, stored = await self._store.read_from_disk(
                    log_id, segment, number, STRETCH_BYTES
                )
            except Unavailable as error:
                _logger.warning("log %d, segment %d was not looked at: %s", log_id, segment, error)
                return
            if not lengths:
                return
            at = 0
            for length in lengths:
                self._check((log_id, segment, number), stored[at : at + length])
                self.looked_bytes += length
                number += 1
                at += length
                await asyncio.sleep(length / self._bytes_per_s)

    def _check(self, place: tuple[int, int, int], stored: bytes) -> None:
        try:
            header = parse_block(stored).header
            if (header.log_id, header.segment, header.block) != place:
                raise Corrupt("another block is there")
        except Corrupt as error:
            if place not in self.damaged and place[:2] in self._store.segments():
                self.damaged.add(place)
                _logger.error(
                    "log %d, segment %d, block %d is damaged in %s: %s",
                    *place,
                    self._store.root,
                    error.message,
                )
        else:
            self.damaged.discard(place)
