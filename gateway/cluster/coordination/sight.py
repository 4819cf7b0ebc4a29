"""What a node has seen of a coordination store, so that it notices when the store goes back.

A store that is wiped, or restored from an old copy, must not override what is newer in the bucket:
a record with a lower term than one seen is void, and a node that reads such a store reads all again
and asserts what it holds.
"""

from __future__ import annotations

import enum

from gateway.cluster.coordination.base import Snapshot
from gateway.cluster.coordination.records import OwnerRecord


class Course(enum.Enum):
    """What a snapshot says about the store's own way."""

    ON = "goes on"
    BACK = "went back to an older revision"
    OTHER = "is another store"


class Sight:
    """One node's memory; the highest term of each log is kept for as long as the process lives."""

    def __init__(self) -> None:
        self._store_id: int | None = None
        self._revision = 0
        self._highest: dict[int, tuple[int, str]] = {}

    def course(self, snapshot: Snapshot) -> Course:
        """Whether the store is the one that was seen before, and no older; remembers it."""
        before, self._store_id = self._store_id, snapshot.store_id
        revision, self._revision = self._revision, snapshot.revision
        if before is not None and before != snapshot.store_id:
            return Course.OTHER
        return Course.BACK if snapshot.revision < revision else Course.ON

    def saw_revision(self, revision: int) -> None:
        """A watch has brought it: no snapshot of this store is older from now on."""
        self._revision = max(self._revision, revision)

    def holds(self, record: OwnerRecord) -> bool:
        """Whether an owner's record counts: its term is no lower than any seen of that log.

        Two incarnations under one term cannot be: terms come from the bucket, each given once. The
        one seen first is kept.
        """
        seen = self._highest.get(record.log)
        mine = (record.term, record.incarnation)
        if seen is None or record.term > seen[0]:
            self._highest[record.log] = mine
            return True
        return mine == seen

    def term_of(self, log: int) -> int:
        """The highest term seen of a log; 0: none."""
        return self._highest.get(log, (0, ""))[0]

    def saw_term(self, log: int, term: int, incarnation: str) -> None:
        """The bucket itself said so: a fence, a manifest, an opening of one's own."""
        seen = self._highest.get(log)
        if seen is None or term > seen[0]:
            self._highest[log] = (term, incarnation)
