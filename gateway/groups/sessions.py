"""Whether members live, and who of them waits for an answer.

A member lives as long as it is heard of within its session timeout. While one of its requests is
parked it cannot be heard of, and its session stands still; the answer renews it. A parked request
whose connection went away is a cancelled future: from then on the session runs again, because a
lost connection is not a leave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from gateway.groups.members import JoinResult, Member, Membership, SyncResult
from gateway.groups.timers import RenewableTimer
from protocol import ErrorCode

ResultT = TypeVar("ResultT")


class Sessions:
    """`on_lost` is called for a member that must be removed; it ends the session with `end`."""

    def __init__(self, members: Membership, on_lost: Callable[[Member, str], None]) -> None:
        self._members = members
        self._on_lost = on_lost

    def begin(self, member: Member, timeout_ms: int) -> None:
        member.timer = RenewableTimer(lambda: self._time_is_up(member))
        member.timer.renew(timeout_ms)

    def renew(self, member: Member) -> None:
        assert member.timer is not None
        member.timer.renew(member.session_timeout_ms)

    def end(self, member: Member, error: ErrorCode) -> None:
        """Answer whatever the member waits for with `error`, and stop its timer."""
        self.answer_join(member, JoinResult(error))
        self.answer_sync(member, SyncResult(error))
        if member.timer is not None:
            member.timer.cancel()

    def park_join(self, member: Member) -> asyncio.Future[JoinResult]:
        # A second request of the member means that it has given the first one up.
        self.answer_join(member, JoinResult(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id))
        parked: asyncio.Future[JoinResult] = asyncio.get_running_loop().create_future()
        self._members.park(member, parked)
        parked.add_done_callback(lambda done: self._join_let_go(member, done))
        return parked

    def park_sync(self, member: Member) -> asyncio.Future[SyncResult]:
        self.answer_sync(member, SyncResult(ErrorCode.REBALANCE_IN_PROGRESS))
        parked: asyncio.Future[SyncResult] = asyncio.get_running_loop().create_future()
        member.syncing = parked
        parked.add_done_callback(lambda done: self._sync_let_go(member, done))
        return parked

    def answer_join(self, member: Member, result: JoinResult) -> None:
        parked = self._members.unpark(member)
        self._answer(member, parked, result)

    def answer_sync(self, member: Member, result: SyncResult) -> None:
        parked, member.syncing = member.syncing, None
        self._answer(member, parked, result)

    def _answer(
        self, member: Member, parked: asyncio.Future[ResultT] | None, result: ResultT
    ) -> None:
        if parked is not None and not parked.done():
            parked.set_result(result)
            self.renew(member)

    def _join_let_go(self, member: Member, parked: asyncio.Future[JoinResult]) -> None:
        if not parked.cancelled() or member.joining is not parked:
            return
        self._members.unpark(member)
        if self._members.get(member.member_id) is not member:
            return
        if member.id_known:
            # It may come back with its id, so its session goes on.
            member.is_new = False
            self.renew(member)
        else:
            self._on_lost(member, "its first join was cut off before it learnt its id")

    def _sync_let_go(self, member: Member, parked: asyncio.Future[SyncResult]) -> None:
        if parked.cancelled() and member.syncing is parked:
            member.syncing = None
            if self._members.get(member.member_id) is member:
                self.renew(member)

    def _time_is_up(self, member: Member) -> None:
        # A first join has its own, longer limit: without one, clients that give up and retry as
        # new members would pile up.
        if (member.awaits_join or member.awaits_sync) and not member.is_new:
            self.renew(member)
            return
        self._on_lost(member, "its session expired")


def answered(result: ResultT) -> asyncio.Future[ResultT]:
    """A future for a request that need not be parked."""
    future: asyncio.Future[ResultT] = asyncio.get_running_loop().create_future()
    future.set_result(result)
    return future
