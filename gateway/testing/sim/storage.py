"""Where the simulated gateways keep their data: a bucket, or a disk of the machine they share."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Protocol

from gateway.testing.sim.durable_blocks import DurableFiles, durable_blocks
from gateway.testing.sim.oracle import StoredLog
from gateway.testing.sim.trace import Trace
from wal_core import Rng, SegmentStore, open_store
from wal_core.testing.seeds import stream
from wal_core.testing.sim_bucket import Bucket, BucketClient
from wal_core.testing.sim_disk import Disk, Inode
from wal_core.testing.sim_process import Process
from wal_core.testing.sim_system import installed

_SEGMENT_NAME = re.compile(r"(\d{20})\.seg")
_LOGS_FOLDER = PurePosixPath("/data/logs")


class Storage(Protocol):
    """What a world asks of it."""

    async def open(self, process: Process, rng: Rng) -> SegmentStore: ...
    async def look(self, process: Process, rng: Rng) -> SegmentStore:
        """For who checks what is stored."""
        ...

    def process_died(self, process: Process) -> None: ...
    def heal(self) -> None:
        """Nothing fails any more."""

    def in_place(self) -> contextlib.AbstractContextManager[object]:
        """The program sees it instead of the machine's own while this is entered."""
        ...


class ObjectStorage:
    """Mode object."""

    def __init__(self, seed: int, trace: Trace, stored: StoredLog) -> None:
        self._seed = seed
        self.bucket = Bucket()
        self.bucket.created = stored.object_created
        self.bucket.watch = lambda who, what, key, outcome: trace.note(
            "bucket", f"{what} {key} by {who}: {outcome}"
        )

    async def open(self, process: Process, rng: Rng) -> SegmentStore:
        return await open_store("sim:", "object", objects=self.client(process), rng=rng)

    def client(self, process: Process) -> BucketClient:
        """That process' way to the bucket."""
        return BucketClient(self.bucket, stream(self._seed, "bucket", process.name))

    async def look(self, process: Process, rng: Rng) -> SegmentStore:
        return await self.open(process, rng)

    def process_died(self, process: Process) -> None:
        """Requests on the wire arrive all the same."""

    def heal(self) -> None:
        self.bucket.faults.clear()
        self.bucket.slow.clear()

    def in_place(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()


class FileStorage:
    """Mode file."""

    def __init__(
        self, seed: int, trace: Trace, stored: StoredLog, died: Callable[[Process], None]
    ) -> None:
        self.disk = Disk(stream(seed, "disk"))
        self.disk.watch = lambda who, what: trace.note("disk", f"{what} by {who}")
        self.disk.synced = self._synced
        self.disk.died = died
        self._stored = stored
        self._files = DurableFiles(self.disk)
        self._read: dict[
            tuple[int, int], tuple[Inode, int, int]
        ] = {}  # per log and segment: blocks, bytes taken

    async def open(self, process: Process, rng: Rng) -> SegmentStore:
        return await open_store("/data", "file", rng=rng)

    async def look(self, process: Process, rng: Rng) -> SegmentStore:
        return await self.open(process, rng)

    def process_died(self, process: Process) -> None:
        self.disk.process_died(process)

    def heal(self) -> None:
        self.disk.heal()

    @contextlib.contextmanager
    def in_place(self) -> Iterator[object]:
        with installed(self.disk):
            yield self

    def _synced(self, folder: PurePosixPath) -> None:
        """Tell the log's follower of the blocks that are on the device, with their file's name."""
        if folder.parent != _LOGS_FOLDER:
            return
        for name, inode in self._files.changed(folder):
            match = _SEGMENT_NAME.fullmatch(name)
            if match is not None:
                self._follow(int(folder.name), int(match[1]), inode)

    def _follow(self, log_id: int, segment: int, inode: Inode) -> None:
        known, blocks_count, position = self._read.get((log_id, segment), (inode, 0, 0))
        if known is not inode:  # the number of a file that never held a whole block
            blocks_count = position = 0
        blocks, position = durable_blocks(inode, blocks_count, position)
        for block in blocks:
            self._stored.add(log_id, segment, blocks_count, block)
            blocks_count += 1
        self._read[log_id, segment] = (inode, blocks_count, position)
