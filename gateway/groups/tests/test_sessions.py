"""Parked requests and session time; the rest is covered by the group's own tests."""

from __future__ import annotations

import asyncio

from gateway.groups.budget import StateBudget
from gateway.groups.members import JoinResult, Membership
from gateway.groups.sessions import Sessions
from gateway.groups.tests.harness import settle, virtual
from gateway.groups.tests.test_members import member
from protocol.error_codes import ErrorCode as E


def watched(**changes):
    table = Membership(StateBudget(10_000))
    one = member("m")
    for name, value in changes.items():
        setattr(one, name, value)
    table.add(one)
    lost: list[str] = []

    def on_lost(gone, reason):
        lost.append(reason)
        sessions.end(gone, E.UNKNOWN_MEMBER_ID)
        table.remove(gone)

    sessions = Sessions(table, on_lost)
    sessions.begin(one, one.session_timeout_ms)
    return sessions, one, lost


@virtual
async def test_the_session_stands_still_while_parked_and_the_answer_renews_it():
    sessions, one, lost = watched()
    parked = sessions.park_join(one)
    await asyncio.sleep(100)
    sessions.answer_join(one, JoinResult(E.NONE))
    assert (await parked).error is E.NONE
    await asyncio.sleep(9.9)
    assert lost == []
    await asyncio.sleep(0.2)
    assert len(lost) == 1


@virtual
async def test_a_cancelled_park_does_not_count_even_before_its_callback_ran():
    sessions, one, lost = watched()
    parked = sessions.park_join(one)
    assert one.awaits_join
    parked.cancel()
    assert not one.awaits_join
    sessions.answer_join(one, JoinResult(E.NONE))
    await settle()
    assert lost == []
    await asyncio.sleep(11)
    assert len(lost) == 1


@virtual
async def test_a_member_without_its_id_is_lost_with_its_connection():
    sessions, one, lost = watched(id_known=False)
    sessions.park_join(one).cancel()
    await settle()
    assert len(lost) == 1


@virtual
async def test_the_end_answers_both_kinds():
    sessions, one, _ = watched()
    join, sync = sessions.park_join(one), sessions.park_sync(one)
    sessions.end(one, E.NOT_COORDINATOR)
    assert (await join).error is (await sync).error is E.NOT_COORDINATOR
