"""Limits and delays of the group coordinator: one frozen policy, and what larger values cost.

Kafka's name stands with each field. Those without a default here are settings, which have theirs in
``gateway/settings/config.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.settings.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupConfig:
    # group.min.session.timeout.ms: smaller values let clients flood the broker with heartbeats.
    session_timeout_min_ms: int
    # group.max.session.timeout.ms: larger values delay the takeover from a dead member.
    session_timeout_max_ms: int
    # group.initial.rebalance.delay.ms: how long an empty group waits for company before its first
    # generation. Kafka waits 3 s; every consumer start and every test then pays 3 s. A fifth of a
    # second still catches the members that one process or script starts together, and a member that
    # comes later costs the others one ordinary rebalance.
    initial_rebalance_delay_ms: int
    # The session of a new member, which cannot heartbeat while its first JoinGroup is parked.
    new_member_join_timeout_ms: int = 300_000
    # group.max.size: counts members and member ids handed out but not used yet.
    members_max_count: int
    # Groups with members or a remembered generation, and (separately) groups with offsets.
    groups_max_count: int
    # Kafka bounds neither, but every offset committed repeats the id.
    group_id_bytes_max: int
    # Names and metadata of one JoinGroup, all protocols together.
    member_metadata_bytes_max: int
    # Assignments of one SyncGroup, all members together; they become one record of the journal.
    assignment_bytes_max: int = 8 * 1024 * 1024
    # message.max.bytes: one group in the journal, its members, the chosen protocol's metadata and
    # assignments. Metadata of all protocols of its members, too, and so a leader's answer.
    group_record_bytes_max: int
    # Memory of all groups together: members, what they said, assignments.
    state_bytes_max: int
    # offset.metadata.max.bytes
    offset_metadata_bytes_max: int
    # message.max.bytes, too: what one commit makes of the journal.
    commit_bytes_max: int
    # Committed offsets in memory, about 0.6 KB each: of one group (and so of one answer to
    # OffsetFetch), and of all together.
    group_offsets_bytes_max: int
    offsets_bytes_max: int
    # offsets.topic.num.partitions: must never change for existing data.
    offsets_partitions_count: int
    # offsets.retention.minutes, counted from the moment a group lost its last member.
    offsets_retention_ms: int
    # offsets.retention.check.interval.ms
    offsets_check_interval_ms: int = 600_000
    # offsets.commit.timeout.ms: after it the client gets a retriable error; the write stays in
    # order and still takes effect when the log confirms it.
    journal_timeout_ms: int = 5_000
    # Writes handed to the journal and not confirmed yet; beyond it commits are refused (retriable).
    pending_writes_max_count: int = 20_000
    pending_bytes_max: int = 64 * 1024 * 1024


def group_config(config: Config) -> GroupConfig:
    """The groups' part of the settings."""
    return GroupConfig(
        session_timeout_min_ms=config.group_session_timeout_min_ms,
        session_timeout_max_ms=config.group_session_timeout_max_ms,
        initial_rebalance_delay_ms=config.group_initial_rebalance_delay_ms,
        members_max_count=config.group_members_max_count,
        groups_max_count=config.groups_max_count,
        group_id_bytes_max=config.group_id_bytes_max,
        member_metadata_bytes_max=config.group_member_bytes_max,
        group_record_bytes_max=config.message_bytes_max,
        state_bytes_max=config.group_state_bytes_max,
        commit_bytes_max=config.message_bytes_max,
        group_offsets_bytes_max=config.group_offsets_bytes_max,
        offsets_bytes_max=config.offsets_bytes_max,
        offset_metadata_bytes_max=config.offset_metadata_bytes_max,
        offsets_partitions_count=config.offsets_partitions_count,
        offsets_retention_ms=config.offsets_retention_ms,
    )
