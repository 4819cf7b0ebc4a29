"""The states of a classic group and what each answers. Source: Kafka's classic protocol."""

from __future__ import annotations

import enum
from collections.abc import Mapping

from protocol import ErrorCode


class State(enum.Enum):
    """The values are the names that Kafka shows to administrators."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


PREVIOUS_STATES: Mapping[State, frozenset[State]] = {
    State.EMPTY: frozenset({State.PREPARING_REBALANCE}),
    State.PREPARING_REBALANCE: frozenset({State.EMPTY, State.COMPLETING_REBALANCE, State.STABLE}),
    State.COMPLETING_REBALANCE: frozenset({State.PREPARING_REBALANCE}),
    State.STABLE: frozenset({State.COMPLETING_REBALANCE}),
    State.DEAD: frozenset(State) - {State.DEAD},
}
"""From which states a state may be entered. A restored group starts in EMPTY or STABLE."""

# What a member of the current generation is told; NONE means: go on. An unknown member, a fenced
# instance or another generation never gets as far as these tables.
HEARTBEAT_CODES: Mapping[State, ErrorCode] = {
    State.EMPTY: ErrorCode.UNKNOWN_MEMBER_ID,
    State.PREPARING_REBALANCE: ErrorCode.REBALANCE_IN_PROGRESS,
    # A member heartbeats from the moment it has its JoinGroup answer, before it syncs.
    State.COMPLETING_REBALANCE: ErrorCode.NONE,
    State.STABLE: ErrorCode.NONE,
    State.DEAD: ErrorCode.COORDINATOR_NOT_AVAILABLE,
}
SYNC_CODES = HEARTBEAT_CODES
COMMIT_CODES: Mapping[State, ErrorCode] = {
    State.EMPTY: ErrorCode.UNKNOWN_MEMBER_ID,
    # Members commit while they give up partitions, before they rejoin.
    State.PREPARING_REBALANCE: ErrorCode.NONE,
    State.COMPLETING_REBALANCE: ErrorCode.REBALANCE_IN_PROGRESS,
    State.STABLE: ErrorCode.NONE,
    State.DEAD: ErrorCode.COORDINATOR_NOT_AVAILABLE,
}
