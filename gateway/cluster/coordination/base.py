"""What a coordination store offers: keys with revisions, leases, watches, transactions.

Rules: a change gives its keys the next revision of the store; a lease that is not kept alive in
time ends, and its keys with it. A watch brings every change of a prefix in order, from a revision
on; where the store has forgotten that far back it says so, and its reader reads everything again
and goes on from there. Every call has a deadline. A call that timed out may have taken effect.

Nothing that safety rests on: two who both believe that they own a log are told apart by its fence.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

CALL_S_MAX = 3.0
"""Longer: a slow store is waited for; shorter: one that is gone is noticed sooner."""


class CoordinationError(Exception):
    """Base of what can go wrong here."""


class StoreAway(CoordinationError):
    """Try again later: no endpoint answers in time, or none of them has a leader."""


class LeaseLost(CoordinationError):
    """The lease is over, and its keys are gone: register again."""


class Compacted(CoordinationError):
    """The store has forgotten the revision: read everything again, then watch from there."""


class Refused(CoordinationError):
    """The store does not let us in, or cannot be this one: somebody must look at the settings."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """A key as it is stored; `lease` is 0 if it stays without one."""

    key: str
    value: bytes
    created_revision: int
    changed_revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys of a prefix at one revision, in their order; `store_id` names the store itself."""

    store_id: int
    revision: int
    keys: tuple[KeyValue, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A key has a new value, or is gone (`value` is None)."""

    key: str
    value: bytes | None
    revision: int


Watch: TypeAlias = AsyncGenerator[tuple[Change, ...], None]
"""Whoever gives one up before its end closes it."""


@dataclass(frozen=True, slots=True)
class Put:
    """Part of a transaction."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Part of a transaction."""

    key: str


@dataclass(frozen=True, slots=True)
class Unchanged:
    """Condition of a transaction: the key was last changed at this revision; 0: there is none."""

    key: str
    changed_revision: int


@dataclass(frozen=True, slots=True)
class Done:
    """Whether a transaction's conditions held, so that it was carried out; the store's revision."""

    succeeded: bool
    revision: int


class CoordinationStore(Protocol):
    """All raise StoreAway in time, and Refused."""

    async def read(self, prefix: str) -> Snapshot:
        """All keys that begin so, as the store has them now."""
        ...

    async def transact(self, conditions: Sequence[Unchanged], then: Sequence[Put | Delete]) -> Done:
        """All of `then` in one step, if all conditions hold. LeaseLost for a put under one."""
        ...

    def watch(self, prefix: str, after_revision: int) -> Watch:
        """All changes after that revision, in order, those of one revision together.

        Ends with StoreAway when the store is lost: watch again from the last revision seen.
        Raises Compacted, and also where the revision lies in the future of this store.
        """
        ...

    async def grant(self, ttl_s: int) -> int:
        """A new lease."""
        ...

    async def keep_alive(self, lease: int) -> None:
        """Let it last its whole time again, from now on. Raises LeaseLost."""
        ...

    async def revoke(self, lease: int) -> None:
        """End it now, with its keys; fine if it is over already."""
        ...

    async def close(self) -> None:
        """Watches end with StoreAway; leases run out by themselves."""
        ...
