"""What an administrator deletes: groups (DeleteGroups), and offsets of groups (OffsetDelete).

It is there until its end is durable, for whoever saw it gone must not see it again. While a group
is being deleted nobody joins it and nobody commits for it, so that it goes whole; whoever comes
waits for its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence, Set

from gateway.groups import records
from gateway.groups.classic import ClassicGroup
from gateway.groups.committed import TopicPartition
from gateway.groups.journal import Record
from gateway.groups.offsets import SLICE_COUNT, GroupOffsets
from gateway.groups.states import State
from gateway.groups.subscriptions import CONSUMER_PROTOCOL_TYPE, reads, topics_of
from protocol import ErrorCode


class Deletions:
    """`groups` are those there are; `drop` makes one of them go."""

    def __init__(
        self,
        groups: Mapping[str, ClassicGroup],
        offsets: GroupOffsets,
        drop: Callable[[ClassicGroup], None],
    ) -> None:
        self._groups = groups
        self._offsets = offsets
        self._drop = drop
        self._ends: dict[str, asyncio.Future[None]] = {}

    def __contains__(self, group_id: str) -> bool:
        """Whether the group is being deleted."""
        return group_id in self._ends

    async def ended(self, group_id: str) -> None:
        """Return when the group is not being deleted, at once if it is not. The journal has as much
        time as for any other write."""
        while (end := self._ends.get(group_id)) is not None:
            await asyncio.wait((end,))

    # ---- groups

    async def delete_group(self, group_id: str) -> ErrorCode:
        """NONE means that the group and its offsets are gone for good."""
        await self.ended(group_id)
        group = self._groups.get(group_id)
        if group is None and not self._offsets.known(group_id):
            return ErrorCode.GROUP_ID_NOT_FOUND
        if group is not None and group.state is not State.EMPTY:
            return ErrorCode.NON_EMPTY_GROUP
        end = self._ends[group_id] = asyncio.get_running_loop().create_future()
        try:
            return await self._delete_all(group_id, group)
        finally:
            del self._ends[group_id]
            end.set_result(None)

    async def _delete_all(self, group_id: str, group: ClassicGroup | None) -> ErrorCode:
        """The group goes with the last of its offsets: an ordinary one in one batch, whole."""
        generation = -1 if group is None else group.generation

        def gone() -> None:
            # The wait for the journal may end before the journal does: then it may live again.
            if (
                group is not None
                and self._groups.get(group_id) is group
                and group.state is State.EMPTY
                and group.generation == generation
            ):
                self._drop(group)

        tombstone: Record = (records.encode_group_key(group_id), None)
        partitions = self._offsets.known(group_id)
        outcomes = []
        while len(partitions) > SLICE_COUNT:
            some, partitions = partitions[:SLICE_COUNT], partitions[SLICE_COUNT:]
            outcomes.append(self._offsets.delete(group_id, some))
            await asyncio.sleep(0)
        outcomes.append(self._offsets.delete(group_id, partitions, [tombstone], gone))
        codes = [await outcome for outcome in outcomes]
        return next((code for code in codes if code is not ErrorCode.NONE), ErrorCode.NONE)

    # ---- offsets

    async def delete_offsets(
        self, group_id: str, partitions: Sequence[TopicPartition]
    ) -> tuple[ErrorCode, list[ErrorCode]]:
        """The group's error, and when there is none one code for each of `partitions`.

        That what has no offset has none is written, too: whoever says so is still the coordinator.
        Topics that members read keep theirs.
        """
        codes: list[ErrorCode] = []
        outcomes: list[asyncio.Future[ErrorCode]] = []
        deleted_in: list[tuple[int, int]] = []  # index of the code, index of the outcome
        for start in range(0, len(partitions) or 1, SLICE_COUNT):
            if start:
                await asyncio.sleep(0)
            some = partitions[start : start + SLICE_COUNT]
            topics = await self._topics_of(group_id)
            error = self._refusal_of_offsets(group_id)
            if error is not ErrorCode.NONE:
                return error, []
            doomed = []
            for where in some:
                is_read = reads(topics, where[0])
                codes.append(ErrorCode.GROUP_SUBSCRIBED_TO_TOPIC if is_read else ErrorCode.NONE)
                if not is_read:
                    deleted_in.append((len(codes) - 1, len(outcomes)))
                    doomed.append(where)
            if doomed:
                outcomes.append(self._offsets.delete(group_id, doomed))
        ends = [await outcome for outcome in outcomes]
        for of_code, of_outcome in deleted_in:
            codes[of_code] = ends[of_outcome]
        return ErrorCode.NONE, codes

    async def _topics_of(self, group_id: str) -> Set[str] | None:
        group = self._groups.get(group_id)
        return frozenset() if group is None else await topics_of(group)

    def _refusal_of_offsets(self, group_id: str) -> ErrorCode:
        group = self._groups.get(group_id)
        if group is None:
            known = self._offsets.known(group_id)
            return ErrorCode.NONE if known else ErrorCode.GROUP_ID_NOT_FOUND
        has_others = group.protocol_type != CONSUMER_PROTOCOL_TYPE and len(group.members)
        # What other clients read cannot be known.
        return ErrorCode.NON_EMPTY_GROUP if has_others else ErrorCode.NONE
