"""The classic group protocol message by message, and what groups commit."""

from __future__ import annotations

from typing import Any

from compat_tests.oracle.script import each, script
from compat_tests.oracle.side import Side

JOIN, SYNC, BEAT, LEAVE = 7, 5, 4, 5
PROTOCOLS = [{"name": "range", "metadata": b"m1"}, {"name": "roundrobin", "metadata": b"m2"}]


def group_of(side: Side) -> str:
    """A name whose coordinator is up."""
    side.commit(side.new_name(), side.topic(), 0)
    return side.new_name()


def joining(group: str, member: str = "", **fields: Any) -> dict[str, Any]:
    return {
        "group_id": group,
        "session_timeout_ms": 10_000,
        "rebalance_timeout_ms": 10_000,
        "member_id": member,
        "protocol_type": "consumer",
        "protocols": PROTOCOLS,
        **fields,
    }


def join(side: Side, group: str, on: str = "main", **fields: Any) -> Any:
    """In two steps, as clients do since KIP-394; the reply to the second."""
    first = side.ask("JoinGroup", JOIN, on=on, **joining(group, **fields))
    return side.ask("JoinGroup", JOIN, on=on, **joining(group, first.member_id, **fields))


def sync(side: Side, group: str, member: Any, *others: str, on: str = "main", **more: Any) -> Any:
    given = [{"member_id": name, "assignment": b"a"} for name in others]
    fields = {
        "group_id": group,
        "generation_id": member.generation_id,
        "member_id": member.member_id,
        "protocol_type": "consumer",
        "protocol_name": "range",
        "assignments": given,
        **more,
    }
    return side.ask("SyncGroup", SYNC, on=on, **fields)


def beat(side: Side, group: str, member_id: str, generation: int, **more: Any) -> None:
    fields = {"group_id": group, "member_id": member_id, "generation_id": generation, **more}
    side.ask("Heartbeat", BEAT, **fields)


def stable(side: Side) -> tuple[str, Any]:
    """A group of one member that has its assignment."""
    group = group_of(side)
    member = join(side, group)
    sync(side, group, member, member.member_id)
    return group, member


@each("group: first join in version {}", range(10))
def first_join(side: Side, version: int) -> None:
    side.ask("JoinGroup", version, **joining(group_of(side)))


@script("group: join, sync, heartbeat, leave")
def life(side: Side) -> None:
    group, member = stable(side)
    beat(side, group, member.member_id, member.generation_id)
    describe(side, group)
    leaving = [{"member_id": member.member_id}]
    side.ask("LeaveGroup", LEAVE, group_id=group, members=leaving)
    beat(side, group, member.member_id, member.generation_id)
    side.ask("LeaveGroup", LEAVE, group_id=group, members=leaving)
    describe(side, group)


def describe(side: Side, group: str) -> None:
    for version in side.served("DescribeGroups"):
        side.ask("DescribeGroups", version, groups=[group])


@script("group: a second member comes, the first hears of it, both share, one goes")
def second(side: Side) -> None:
    group, first = stable(side)
    asked = side.ask("JoinGroup", JOIN, on="second", **joining(group))
    side.send("JoinGroup", JOIN, on="second", **joining(group, asked.member_id))
    side.until_rebalancing(group, first.member_id, first.generation_id)
    beat(side, group, first.member_id, first.generation_id)
    describe(side, group)
    again = side.ask("JoinGroup", JOIN, **joining(group, first.member_id))
    joined = side.receive("second")
    sync(side, group, again, again.member_id, joined.member_id)
    sync(side, group, joined, on="second")
    beat(side, group, first.member_id, first.generation_id)
    beat(side, group, again.member_id, again.generation_id)
    leaving = [{"member_id": joined.member_id}]
    side.ask("LeaveGroup", LEAVE, group_id=group, members=leaving)
    beat(side, group, again.member_id, again.generation_id)


@script("group: a follower syncs before its leader")
def follower_first(side: Side) -> None:
    group, first = stable(side)
    asked = side.ask("JoinGroup", JOIN, on="second", **joining(group))
    side.send("JoinGroup", JOIN, on="second", **joining(group, asked.member_id))
    side.until_rebalancing(group, first.member_id, first.generation_id)
    again = side.ask("JoinGroup", JOIN, **joining(group, first.member_id))
    joined = side.receive("second")
    fields = {"group_id": group, "generation_id": joined.generation_id}
    side.send("SyncGroup", SYNC, on="second", member_id=joined.member_id, **fields)
    beat(side, group, again.member_id, again.generation_id)
    sync(side, group, again, again.member_id)
    side.receive("second")


WRONG_JOINS: dict[str, dict[str, Any]] = {
    "an empty group": {"group_id": ""},
    "no protocols": {"protocols": []},
    "no protocol type": {"protocol_type": ""},
    "a session too short": {"session_timeout_ms": 10},
    "a session too long": {"session_timeout_ms": 10**8},
    "a negative session": {"session_timeout_ms": -1},
    "a rebalance of no time": {"rebalance_timeout_ms": 0},
    "an unknown member": {"member_id": "never given"},
    "one protocol twice": {"protocols": [PROTOCOLS[0], PROTOCOLS[0]]},
    "a protocol without name": {"protocols": [{"name": "", "metadata": b""}]},
    "an empty instance id": {"group_instance_id": ""},
    "an instance id no topic could have": {"group_instance_id": "a b"},
    "an instance id": {"group_instance_id": "i"},
}


@each("group: joins with {}", WRONG_JOINS)
def wrong_join(side: Side, what: str) -> None:
    group = group_of(side)
    side.ask("JoinGroup", JOIN, **{**joining(group), **WRONG_JOINS[what]})


WRONG_SECONDS: dict[str, dict[str, Any]] = {
    "another protocol type": {"protocol_type": "connect"},
    "no protocol in common": {"protocols": [{"name": "sticky", "metadata": b""}]},
    "an unknown id": {"member_id": "never given"},
}


@each("group: a second joins with {}", WRONG_SECONDS)
def wrong_second(side: Side, what: str) -> None:
    group, _ = stable(side)
    side.ask("JoinGroup", JOIN, on="second", **{**joining(group), **WRONG_SECONDS[what]})


WRONG_SYNCS: dict[str, dict[str, Any]] = {
    "an old generation": {"generation_id": 0},
    "a future generation": {"generation_id": 9},
    "an unknown member": {"member_id": "never given"},
    "another protocol type": {"protocol_type": "connect"},
    "another protocol name": {"protocol_name": "sticky"},
    "no protocol": {"protocol_type": None, "protocol_name": None},
    "an unknown group": {"group_id": "nobody's"},
    "an unknown instance": {"group_instance_id": "i"},
    "an assignment for somebody else": {
        "assignments": [{"member_id": "never given", "assignment": b"x"}]
    },
}


@each("group: syncs with {}", WRONG_SYNCS)
def wrong_sync(side: Side, what: str) -> None:
    group = group_of(side)
    member = join(side, group)
    sync(side, group, member, member.member_id, **WRONG_SYNCS[what])
    beat(side, group, member.member_id, member.generation_id)


WRONG_BEATS: dict[str, dict[str, Any]] = {
    "an old generation": {"generation_id": 0},
    "generation -1": {"generation_id": -1},
    "a future generation": {"generation_id": 9},
    "an unknown member": {"member_id": "never given"},
    "no member": {"member_id": ""},
    "an unknown group": {"group_id": "nobody's"},
    "an unknown instance": {"group_instance_id": "i"},
}


@each("group: a heartbeat with {}", WRONG_BEATS)
def wrong_beat(side: Side, what: str) -> None:
    group, member = stable(side)
    known = {"group_id": group, "member_id": member.member_id}
    fields = {**known, "generation_id": member.generation_id, **WRONG_BEATS[what]}
    side.ask("Heartbeat", BEAT, **fields)


@script("group: a heartbeat before the first sync, a sync a second time")
def early(side: Side) -> None:
    group = group_of(side)
    member = join(side, group)
    beat(side, group, member.member_id, member.generation_id)
    sync(side, group, member, member.member_id)
    sync(side, group, member)


@script("group: the leader of a stable group joins again")
def leader_again(side: Side) -> None:
    group, member = stable(side)
    again = side.ask("JoinGroup", JOIN, **joining(group, member.member_id))
    sync(side, group, again, again.member_id)


@script("group: a static member comes back, its former self is fenced")
def static(side: Side) -> None:
    group = group_of(side)
    static = {"group_instance_id": "i"}
    member = side.ask("JoinGroup", JOIN, **joining(group, **static))
    sync(side, group, member, member.member_id, **static)
    beat(side, group, member.member_id, member.generation_id, **static)
    back = side.ask("JoinGroup", JOIN, on="second", **joining(group, **static))
    beat(side, group, member.member_id, member.generation_id, **static)
    beat(side, group, back.member_id, back.generation_id, **static)
    sync(side, group, back, on="second", **static)
    leave = [{"member_id": "", "group_instance_id": "i"}, {"member_id": "x"}]
    side.ask("LeaveGroup", LEAVE, group_id=group, members=leave)


@each("group: leaving in version {} by whom nobody knows", range(6))
def wrong_leave(side: Side, version: int) -> None:
    group, _ = stable(side)
    unknown = {"member_id": "never given"}
    side.ask("LeaveGroup", version, group_id=group, member_id="never given", members=[unknown])
    side.ask("LeaveGroup", version, group_id="nobody's", member_id="x", members=[unknown])


# Commits


def committing(group: str, topic: str, **fields: Any) -> dict[str, Any]:
    part = {"partition_index": 0, "committed_offset": 3, "committed_metadata": "m"}
    part.update({name: fields.pop(name) for name in list(fields) if name in part})
    return {"group_id": group, "topics": [{"name": topic, "partitions": [part]}], **fields}


COMMITS: dict[str, dict[str, Any]] = {
    "no member": {},
    "an unknown member": {"member_id": "never given", "generation_id_or_member_epoch": 1},
    "a member but no generation": {"member_id": "never given"},
    "a generation but no member": {"generation_id_or_member_epoch": 1},
    "an unknown instance": {"group_instance_id": "i"},
    "metadata too long": {"committed_metadata": "x" * 5000},
    "null metadata": {"committed_metadata": None},
    "a negative offset": {"committed_offset": -5},
    "a partition too many": {"partition_index": 8},
    "a negative partition": {"partition_index": -3},
}


@each("commit to an empty group: {}", COMMITS)
def commit(side: Side, what: str) -> None:
    group, topic = group_of(side), side.topic()
    side.ask("OffsetCommit", 7, **committing(group, topic, **COMMITS[what]))
    asked = {"name": topic, "partition_indexes": [0, 8]}
    side.ask("OffsetFetch", 5, group_id=group, topics=[asked])


@script("commit to a group with members: by one of them, by others")
def commit_to_members(side: Side) -> None:
    group, member = stable(side)
    topic = side.topic()
    own = {
        "member_id": member.member_id,
        "generation_id_or_member_epoch": member.generation_id,
    }
    for fields in (own, {**own, "generation_id_or_member_epoch": 9}, {}, {"member_id": "x"}):
        side.ask("OffsetCommit", 7, **committing(group, topic, **fields))


@script("commit of nothing")
def commit_nothing(side: Side) -> None:
    group, topic = group_of(side), side.topic()
    for version in side.served("OffsetCommit", 2):
        side.ask("OffsetCommit", version, group_id=group, topics=[])
        empty = [{"name": topic, "partitions": []}]
        side.ask("OffsetCommit", version, group_id=group, topics=empty)


@script("what was committed: all of it, none of it, some of it")
def committed(side: Side) -> None:
    topic, group = side.topic(), side.new_name()
    side.commit(group, topic, 4)
    for version in side.served("OffsetFetch", 1):
        for asked in (None, [], [{"name": topic, "partition_indexes": []}]):
            if version >= 8:
                groups = [{"group_id": group, "topics": asked}, {"group_id": "none"}]
                side.ask("OffsetFetch", version, groups=groups)
            elif asked is not None or version >= 2:
                side.ask("OffsetFetch", version, group_id=group, topics=asked)


@script("find a coordinator: of transactions, of an unknown kind, of nothing")
def coordinators(side: Side) -> None:
    for version in side.served("FindCoordinator", 1):
        for kind in (2, 5, -1):
            side.ask("FindCoordinator", version, key="k", coordinator_keys=["k"], key_type=kind)
    for version in side.served("FindCoordinator", 4):
        side.ask("FindCoordinator", version, coordinator_keys=[])
        side.ask("FindCoordinator", version, coordinator_keys=["a", "a", "b"])


# What administrators ask


@each("administer groups: {} what is not there", ["describe", "delete"])
def unknown_groups(side: Side, what: str) -> None:
    group_of(side)
    api, field = {
        "describe": ("DescribeGroups", "groups"),
        "delete": ("DeleteGroups", "groups_names"),
    }[what]
    for version in side.served(api):
        side.ask(api, version, **{field: ["nobody-s", ""]})
        side.ask(api, version, **{field: []})


@script("administer groups: delete one with members, one without")
def delete_groups(side: Side) -> None:
    group, member = stable(side)
    for version in side.served("DeleteGroups"):
        side.ask("DeleteGroups", version, groups_names=[group])
    side.ask("LeaveGroup", LEAVE, group_id=group, members=[{"member_id": member.member_id}])
    side.ask("DeleteGroups", 2, groups_names=[group, group])
    describe(side, group)


@script("administer groups: delete offsets")
def delete_offsets(side: Side) -> None:
    topic, group = side.topic(2), side.new_name()
    side.commit(group, topic, 3)
    parts = [{"partition_index": index} for index in (0, 1, 9)]
    side.ask("OffsetDelete", 0, group_id=group, topics=[])
    for name in (side.new_name(), topic):
        side.ask("OffsetDelete", 0, group_id=group, topics=[{"name": name, "partitions": parts}])
    busy, _ = stable(side)
    side.ask("OffsetDelete", 0, group_id=busy, topics=[{"name": topic, "partitions": parts}])


@each("administer groups: list those that are {}", ["Stable", "Empty", "stable", "Dead", "x"])
def list_groups(side: Side, state: str) -> None:
    stable(side)
    for version in side.served("ListGroups", 4):
        side.ask("ListGroups", version, states_filter=[state])
    for version in side.served("ListGroups", 5):
        for kind in ("classic", "Classic", "consumer", "x"):
            side.ask("ListGroups", version, types_filter=[kind])
