"""Where the simulated gateways keep their data."""

from __future__ import annotations

from gateway.testing.sim.oracle import StoredLog
from gateway.testing.sim.trace import Trace
from wal_core import Rng, SegmentStore, open_store
from wal_core.testing.seeds import stream
from wal_core.testing.sim_bucket import Bucket, BucketClient
from wal_core.testing.sim_process import Process


class ObjectStorage:
    """Mode object: a bucket."""

    def __init__(self, seed: int, trace: Trace, stored: StoredLog) -> None:
        self._seed = seed
        self._opened_count = 0
        self.bucket = Bucket()
        self.bucket.created = stored.object_created
        self.bucket.watch = lambda who, what, key, outcome: trace.note(
            "bucket", f"{what} {key} by {who}: {outcome}"
        )

    async def open(self, process: Process, rng: Rng) -> SegmentStore:
        self._opened_count += 1
        client = BucketClient(self.bucket, stream(self._seed, "bucket", process.name))
        return await open_store("sim:", "object", objects=client, rng=rng)

    def process_died(self, process: Process) -> None:
        """Requests on the wire arrive all the same."""

    def heal(self) -> None:
        self.bucket.faults.clear()
        self.bucket.slow.clear()
