"""What a group needs from its coordinator, so that neither has to know the other's insides."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from gateway.groups.budget import StateBudget
from gateway.groups.config import GroupConfig
from gateway.groups.members import Membership
from gateway.groups.pending_ids import PendingIds
from protocol import ErrorCode


class JournaledGroup(Protocol):
    """What a group's record says of it."""

    group_id: str
    generation: int
    protocol_type: str | None
    protocol_name: str | None
    members: Membership

    def was_journaled(self, now_ms: int) -> None:
        """A record of it is on its way, with this time in it."""


class GroupHost(Protocol):
    config: GroupConfig
    budget: StateBudget
    pending_ids: PendingIds

    def new_member_id(self, prefix: str) -> str:
        """An id that nobody else has or had."""

    def store(
        self, group: JournaledGroup, assignments: Mapping[str, bytes]
    ) -> asyncio.Future[ErrorCode]:
        """Journal the group as it is, with these assignments; see `JournalWriter.write`."""
