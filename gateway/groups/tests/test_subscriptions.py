"""Which topics the members of a group say that they read."""

from __future__ import annotations

import asyncio

import pytest

from gateway.groups import subscriptions
from gateway.groups.subscriptions import reads, topics_of
from gateway.groups.tests.harness import Client, enter_all, group_of, make, settle, virtual
from protocol import Writer
from protocol.messages.consumer_protocol import ConsumerProtocolSubscription


def subscribed(*topics: str, version: int = 1) -> bytes:
    """A consumer's metadata."""
    out = Writer()
    out.buf += version.to_bytes(2, "big")
    ConsumerProtocolSubscription(topics=list(topics)).encode(out, min(version, 3))
    return out.to_bytes()


@pytest.mark.parametrize("version", [0, 1, 2, 3, 7])
@virtual
async def test_what_all_members_read_together(version):
    coordinator = make(initial_rebalance_delay_ms=50)
    one = Client(coordinator, protocols=(("range", subscribed("a", "b", version=version)),))
    two = Client(coordinator, protocols=(("range", subscribed("b", "ç", version=version)),))
    await enter_all(one, two)
    assert await topics_of(group_of(one)) == {"a", "b", "ç"}


@pytest.mark.parametrize("metadata", [b"", b"\x00", b"\x00\x01\x00\x00\xff", b"no consumer's"])
@virtual
async def test_of_metadata_that_cannot_be_read_anything_may_be_true(metadata):
    coordinator = make(initial_rebalance_delay_ms=50)
    one = Client(coordinator, protocols=(("range", subscribed("a")),))
    two = Client(coordinator, protocols=(("range", metadata),))
    await enter_all(one, two)
    topics = await topics_of(group_of(one))
    assert topics is None
    assert reads(topics, "anything")


@virtual
async def test_a_subscription_to_more_topics_than_anybody_has_is_not_looked_at(monkeypatch):
    monkeypatch.setattr(subscriptions, "TOPICS_OF_A_MEMBER_MAX_COUNT", 2)
    one = Client(make(), protocols=(("range", subscribed("a", "b", "c")),))
    await one.enter()
    assert await topics_of(group_of(one)) is None


@virtual
async def test_before_the_first_generation_nobody_knows_and_afterwards_nobody_reads():
    coordinator = make(initial_rebalance_delay_ms=50)
    one = Client(coordinator, protocols=(("range", subscribed("a")),), version=3)
    joining = asyncio.ensure_future(one.join())
    await settle()
    assert await topics_of(group_of(one)) is None
    await joining
    assert await topics_of(group_of(one)) == {"a"}
    one.leave()
    assert await topics_of(group_of(one)) == set()
    assert not reads(await topics_of(group_of(one)), "a")
