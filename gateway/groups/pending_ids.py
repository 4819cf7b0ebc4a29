"""Member ids handed out and not used yet (KIP-394), of all groups.

An id costs its client one request and nothing else, so nothing may hang on it: no group comes into
being for one, none takes a member's place, and past a bound the oldest is forgotten, first of the
address that has many itself. Whoever comes back with an id that was forgotten is told
UNKNOWN_MEMBER_ID, and begins again.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import NamedTuple, TypeAlias

IDS_MAX_COUNT = 20_000
"""With their groups' ids some 2 KB each at most. Clients are back with theirs within a round trip,
so a live one is forgotten only if thousands are handed out meanwhile."""

_Key: TypeAlias = tuple[str, str]  # group id, member id


class _Handed(NamedTuple):
    owner: str
    until_s: float


class PendingIds:
    """Ids by group. `owner` is the address of the client that asked."""

    def __init__(self, max_count: int = IDS_MAX_COUNT) -> None:
        self._max_count = max_count
        # Oldest first. A plain dict looks for its first key behind all that were deleted there.
        self._ids: OrderedDict[_Key, _Handed] = OrderedDict()
        self._by_owner: dict[str, OrderedDict[_Key, None]] = {}
        self._by_group: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def hand_out(self, group_id: str, member_id: str, owner: str, timeout_ms: int) -> None:
        """Remember `member_id` for a session."""
        key = (group_id, member_id)
        self._ids[key] = _Handed(owner, asyncio.get_running_loop().time() + timeout_ms / 1_000)
        own = self._by_owner.setdefault(owner, OrderedDict())
        own[key] = None
        self._by_group.setdefault(group_id, {})[member_id] = None
        if len(own) > self._max_count // 2:
            self._forget(next(iter(own)))
        elif len(self._ids) > self._max_count:
            self._forget(next(iter(self._ids)))

    def has(self, group_id: str, member_id: str) -> bool:
        key = (group_id, member_id)
        handed = self._ids.get(key)
        if handed is None:
            return False
        if handed.until_s > asyncio.get_running_loop().time():
            return True
        self._forget(key)
        return False

    def has_any(self, group_id: str) -> bool:
        """Whether somebody may still come to this group with an id of its own."""
        return any(
            self.has(group_id, member_id) for member_id in [*self._by_group.get(group_id, ())]
        )

    def take(self, group_id: str, member_id: str) -> bool:
        """Its owner joins with it, or gives it up: whether it counted until now."""
        counted = self.has(group_id, member_id)
        if counted:
            self._forget((group_id, member_id))
        return counted

    def _forget(self, key: _Key) -> None:
        group_id, member_id = key
        handed = self._ids.pop(key)
        own, of_group = self._by_owner[handed.owner], self._by_group[group_id]
        del own[key], of_group[member_id]
        if not own:
            del self._by_owner[handed.owner]
        if not of_group:
            del self._by_group[group_id]
