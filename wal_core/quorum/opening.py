"""From a location people write to the store whose tails lie on logstores."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wal_core.clock import Clock, Rng, SystemRng
from wal_core.config import CloudSettings
from wal_core.quorum.members import Logstores
from wal_core.quorum.store import QuorumSegmentStore
from wal_core.stores.objects.base import ObjectStore
from wal_core.stores.opening import open_objects


async def open_quorum_store(
    location: str,
    reach: Callable[[str], Awaitable[Logstores]],
    *,
    cloud: CloudSettings | None = None,
    objects: ObjectStore | None = None,
    clock: Clock | None = None,
    rng: Rng | None = None,
) -> QuorumSegmentStore:
    """As `open_store`, in mode quorum. `reach` gets the logstores for the cluster that the
    location's marker names; who calls ends them, after the store."""
    rng = rng or SystemRng()
    found = await open_objects(
        location, "quorum", cloud=cloud, objects=objects, clock=clock, rng=rng
    )
    try:
        logstores = await reach(found.cluster)
    except BaseException:
        await found.objects.close()
        raise
    return QuorumSegmentStore(found.objects, logstores, rng, tally=found.tally)
