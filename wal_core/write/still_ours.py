"""Whether a log is still its opener's, asked without writing anything.

Who is fenced learns it from its next write, and who writes nothing never. Where a store has no lock
two things tell, and neither becomes untrue again: the first slot that we have not filled is
another's, or, after that was sealed and deleted, the newest manifest is of a later term.
"""

from __future__ import annotations

from wal_core.errors import Fenced
from wal_core.format.places import Slot
from wal_core.state.contents import Contents
from wal_core.stores.manifests import Manifests
from wal_core.stores.persistence import Persistence
from wal_core.stores.places import read_block
from wal_core.stores.segments.base import SegmentStore
from wal_core.tenure import Tenure


async def check(
    store: SegmentStore,
    tenure: Tenure,
    contents: Contents,
    manifests: Manifests,
    persist: Persistence,
) -> None:
    """Two requests or three where all is well, none where a lock decides; nothing appended before
    the call may still be on its way. Raises Fenced if another had taken the log by then."""
    if store.locks:
        return
    if store.claims:
        await persist(lambda: store.check_claim(tenure.log_id, tenure.term))
        return
    active, chain = contents.active, contents.chain
    # An opener's fence goes into the first free slot; what we write meanwhile may be there first.
    if active is None:
        slot = Slot(tenure.log_id, chain.last + 1, 0, 0)
    else:
        slot = Slot(tenure.log_id, active.segment, active.block_count, active.bytes_count)
    place = store.place(slot, None)
    is_taken = False
    if await persist(lambda: store.objects.size(place.key)) is not None:
        block = await persist(lambda: read_block(store.objects, place))
        is_taken = block.header.nonce != tenure.nonce
    if is_taken or (await manifests.newest()).term > tenure.term:
        raise Fenced("another writer took the log meanwhile", log_id=tenure.log_id)
