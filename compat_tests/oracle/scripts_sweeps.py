"""Every API in every version: a request that is in order, and each kind of wrong one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from uuid import UUID

from compat_tests.oracle.requests import (
    ABOUT_GROUPS,
    ABOUT_PARTITIONS,
    ABOUT_TOPICS,
    REQUESTS,
    Target,
)
from compat_tests.oracle.script import add
from compat_tests.oracle.side import Side

Choose = Callable[[Side], Target]
NO_SUCH_ID = UUID(int=42)


# Before, a request for metadata makes what it asks for.
FIRST_VERSION_WITHOUT_MAKING = {"Metadata": 4}


def existing(side: Side) -> Target:
    """A topic with three records, a group that has committed."""
    topic = side.topic()
    side.fill(topic)
    group = side.new_name()
    side.commit(group, topic, 1)
    return Target(topic, side.topic_id(topic), group=group)


def sweep(what: str, apis: Sequence[str], choose: Choose) -> None:
    """Scripts that ask each API in all versions about what `choose` gives."""
    for api in apis:
        for newest in (False, True):

            def run(side: Side, api: str = api) -> None:
                first = 0 if choose is existing else FIRST_VERSION_WITHOUT_MAKING.get(api, 0)
                versions = side.served(api, first)
                if not versions:
                    return
                target = choose(side)
                for version in versions:
                    side.ask(api, version, **REQUESTS[api](version, target))

            add(f"{api}: {what}{' (newest)' if newest else ''}", run, newest=newest)


sweep("in order", tuple(REQUESTS), existing)
sweep(
    "a topic nobody made",
    ABOUT_TOPICS,
    lambda side: replace(existing(side), topic=side.new_name(), topic_id=NO_SUCH_ID),
)
sweep("a partition too many", ABOUT_PARTITIONS, lambda side: replace(existing(side), partition=7))
sweep("partition -1", ABOUT_PARTITIONS, lambda side: replace(existing(side), partition=-1))
sweep("a name no topic can have", ABOUT_TOPICS, lambda side: replace(existing(side), topic="a b"))
sweep("an empty topic name", ABOUT_TOPICS, lambda side: replace(existing(side), topic=""))
sweep(
    "a group nobody made", ABOUT_GROUPS, lambda side: replace(existing(side), group=side.new_name())
)
# The first of these commits under that name: whether it is a group then is for the others to ask.
UNDER_NO_NAME = [api for api in ABOUT_GROUPS if api not in ("DescribeGroups", "DeleteGroups")]
sweep("an empty group name", UNDER_NO_NAME, lambda side: replace(existing(side), group=""))
