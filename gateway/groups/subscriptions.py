"""Which topics a group reads, by what its members wrote into their metadata. These are opaque to a
broker otherwise.
"""

from __future__ import annotations

from collections.abc import Set

from gateway.fairness.slices import Slices
from gateway.groups.classic import ClassicGroup
from protocol import DecodeError
from protocol.messages.consumer_protocol import ConsumerProtocolSubscription

CONSUMER_PROTOCOL_TYPE = "consumer"
TOPICS_OF_A_MEMBER_MAX_COUNT = 10_000
"""Decoding so many takes a millisecond or two. Who has more reads everything, for all we know."""
_VERSION_BYTES = 2
_FIRST_VERSION = 0  # whatever a later one adds comes behind the topics


def reads(topics: Set[str] | None, topic: str) -> bool:
    """`topics` None: nobody knows, so it may."""
    return topics is None or topic in topics


async def topics_of(group: ClassicGroup) -> Set[str] | None:
    """The topics that members of this generation subscribe to; None when that is not known: there
    is none yet, or somebody's metadata are not those of a consumer.
    """
    if group.protocol_type != CONSUMER_PROTOCOL_TYPE or not len(group.members):
        return frozenset()
    slices = Slices()
    while True:
        generation = group.generation
        topics: set[str] | None = set()
        for member in group.members:
            if slices.is_over:
                await slices.pause()
            found = _topics_in(member.metadata_for(group.protocol_name))
            if found is None:
                topics = None
            elif topics is not None:
                topics |= found
        if group.generation == generation:
            return topics


def _topics_in(metadata: bytes) -> set[str] | None:
    if len(metadata) < _VERSION_BYTES:
        return None
    try:
        subscription, _ = ConsumerProtocolSubscription.decode(
            memoryview(metadata), _VERSION_BYTES, _FIRST_VERSION, TOPICS_OF_A_MEMBER_MAX_COUNT
        )
    except DecodeError:
        return None
    return set(subscription.topics)
