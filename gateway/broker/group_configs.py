"""Settings of a consumer group: names, types, defaults and bounds of Kafka 4.0's GroupConfig.

They are for groups of the next protocols (KIP-848, KIP-932): a group of today's goes by what its
members ask for. Those of consumer groups are kept for the day there are such groups here, of share
groups only the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.broker.setting_types import INT, INT_MAX, STRING, Setting, shown

GROUP_SETTINGS: Mapping[str, Setting] = {
    "consumer.heartbeat.interval.ms": Setting(
        INT, "5000", 5_000, 15_000, doc="How often members of the next protocol report."
    ),
    "consumer.session.timeout.ms": Setting(
        INT, "45000", 45_000, 60_000, doc="After what silence a member is removed."
    ),
    "share.auto.offset.reset": Setting(
        STRING, "latest", doc="Where a share group without offsets begins."
    ),
    "share.heartbeat.interval.ms": Setting(
        INT, "5000", high=INT_MAX, doc="How often members of a share group report."
    ),
    "share.record.lock.duration.ms": Setting(
        INT, "30000", high=INT_MAX, doc="How long a member of a share group keeps a record."
    ),
    "share.session.timeout.ms": Setting(
        INT, "45000", high=INT_MAX, doc="After what silence a member of a share group is removed."
    ),
}
_OF_GROUPS_ALONE = frozenset({"share.auto.offset.reset"})
_NO_SHARE_GROUPS = "there are no share groups"


def of_all_groups(name: str) -> str:
    """The setting of brokers that a group's own stands before; its own name where there is none."""
    return name if name in _OF_GROUPS_ALONE else f"group.{name}"


def group_problem(configs: Mapping[str, str]) -> str | None:
    """The first thing wrong with a set of group settings, in words, or None."""
    for name, value in configs.items():
        setting = GROUP_SETTINGS.get(name)
        if setting is None:
            return f"unknown group config name: {shown(name)}"
        problem = setting.problem(value)
        if problem is None and name.startswith("share.") and not setting.is_default(value):
            problem = (
                f"only the default {setting.default!r} is possible, because {_NO_SHARE_GROUPS}"
            )
        if problem is not None:
            return f"invalid value for the group config {name}: {problem}"
    return None
