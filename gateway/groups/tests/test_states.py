"""The tables speak about every state."""

from __future__ import annotations

from gateway.groups.states import COMMIT_CODES, HEARTBEAT_CODES, PREVIOUS_STATES, SYNC_CODES, State


def test_tables_are_complete():
    for table in (COMMIT_CODES, HEARTBEAT_CODES, SYNC_CODES, PREVIOUS_STATES):
        assert set(table) == set(State)


def test_nothing_leaves_dead_and_everything_may_enter_it():
    assert all(State.DEAD not in previous for previous in PREVIOUS_STATES.values())
    assert PREVIOUS_STATES[State.DEAD] == set(State) - {State.DEAD}
