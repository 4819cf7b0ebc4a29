"""What a group needs from its coordinator, so that neither has to know the other's insides."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from gateway.groups.budget import StateBudget
from gateway.groups.config import GroupConfig
from gateway.groups.pending_ids import PendingIds
from protocol.error_codes import ErrorCode

if TYPE_CHECKING:
    from gateway.groups.classic import ClassicGroup


class GroupHost(Protocol):
    config: GroupConfig
    budget: StateBudget
    pending_ids: PendingIds

    def new_member_id(self, prefix: str) -> str:
        """An id that nobody else has or had."""

    def store(
        self, group: ClassicGroup, assignments: Mapping[str, bytes]
    ) -> asyncio.Future[ErrorCode]:
        """Journal the group as it is, with these assignments; see `JournalWriter.write`."""
