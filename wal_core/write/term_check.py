"""An owner that has not looked for long: what stopped it may have been deleted.

Who opens a log puts a fence into the next slot of whoever had it, and that stays there for a grace
time, not for ever. An owner that wrote nothing, or stood still, for longer than that would find its
slot free again, behind everything that counts by now. So what it has created counts only once it
has looked at the newest manifest, where the last look was not long ago.
"""

from __future__ import annotations

from wal_core.errors import Fenced
from wal_core.stores.manifests import Manifests
from wal_core.tenure import Tenure

GRACE_PARTS_COUNT = 4
"""A look is good for that part of the grace: fences are counted by the clocks of others."""


class TermCheck:
    """`until_sure` after a block was created, before it counts, where `is_due`."""

    def __init__(self, tenure: Tenure, manifests: Manifests, since_ms: int) -> None:
        """`since_ms`: nobody had taken the log then, by the wall clock, which goes on while the
        machine sleeps."""
        self._tenure = tenure
        self._manifests = manifests
        self._verified_ms = since_ms
        self._good_ms = tenure.config.fence_grace_ms // GRACE_PARTS_COUNT

    @property
    def is_due(self) -> bool:
        """Also where the clock was put back."""
        return not 0 <= self._tenure.clock.now_ms() - self._verified_ms <= self._good_ms

    async def until_sure(self) -> None:
        """Raises Fenced if another has the log: its opening has committed a manifest before the
        fence of that opening could be deleted."""
        now_ms = self._tenure.clock.now_ms()
        if (await self._manifests.newest()).term > self._tenure.term:
            raise Fenced("another writer took the log long ago", log_id=self._tenure.log_id)
        self._verified_ms = now_ms
