"""Large requests: answered like small ones, beside the others, and refused past their bounds."""

from __future__ import annotations

import asyncio

import pytest

from gateway.net import answering
from gateway.net.bulk_gate import BulkGate
from gateway.tests.harness import started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.join_group import JoinGroupRequest, JoinGroupRequestProtocol
from protocol.messages.metadata import MetadataRequest, MetadataRequestTopic

UNKNOWN = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def asking(count: int) -> MetadataRequest:
    topics = [MetadataRequestTopic(name=f"missing-{n}") for n in range(count)]
    return MetadataRequest(topics=topics, allow_auto_topic_creation=False)


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.event_fields["reason"] for record in caplog.records]  # type: ignore[attr-defined]


@virtual
async def test_a_large_request_is_answered_in_its_place() -> None:
    world, client = await started()
    await client.create("t")
    small, large, last = (client.send(ApiKey.METADATA, 12, asking(n)) for n in (1, 5_000, 2))
    await asyncio.gather(small, large, last)
    for reply, count in ((small, 1), (large, 5_000), (last, 2)):
        topics = reply.result().topics
        assert [t.name for t in topics] == [f"missing-{n}" for n in range(count)]
        assert {t.error_code for t in topics} == {UNKNOWN}
    world.assert_idle()


@virtual
async def test_a_large_answer_is_as_whole_as_a_small_one() -> None:
    world, client = await started()
    await client.create("wide", partitions=answering.LARGE_ANSWER_COUNT + 1)
    reply = await client.call(ApiKey.METADATA, 12, MetadataRequest(topics=None))
    indexes = [p.partition_index for p in reply.topics[0].partitions]
    assert indexes == list(range(answering.LARGE_ANSWER_COUNT + 1))
    world.assert_idle()


@virtual
async def test_a_join_with_too_many_protocols_is_told_so() -> None:
    world, client = await started()
    protocols = [JoinGroupRequestProtocol(name=f"p{n}") for n in range(5_000)]
    request = JoinGroupRequest(group_id="g", session_timeout_ms=10_000, protocol_type="consumer")
    for count, code in (
        (5_000, ErrorCode.INVALID_REQUEST),
        (101, ErrorCode.INVALID_REQUEST),
        (100, ErrorCode.MEMBER_ID_REQUIRED),
    ):
        request.protocols = protocols[:count]
        reply = await client.call(ApiKey.JOIN_GROUP, 9, request)
        assert reply.error_code == code
    world.assert_idle()


@virtual
async def test_more_elements_than_anybody_needs_end_the_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, client = await started()
    client.send(ApiKey.METADATA, 12, asking(100_001))
    other = world.client()
    await other.call(ApiKey.METADATA, 12, asking(100_000))
    assert client.transport.lost
    assert "1 array elements more than are allowed" in reasons(caplog)[-1]
    world.assert_idle()


@virtual
async def test_whoever_leaves_while_its_large_request_waits_costs_nothing_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, _ = await started()
    decoded: list[int] = []
    decode = answering._decode
    monkeypatch.setattr(
        answering, "_decode", lambda request, api: decoded.append(1) or decode(request, api)
    )
    gate = world.gateway.hub.bulk
    async with gate.slot("192.0.2.9", 1), gate.slot("192.0.2.9", 1):
        gone, stays = world.client(), world.client()
        gone.send(ApiKey.METADATA, 12, asking(2_000))
        kept = stays.send(ApiKey.METADATA, 12, asking(2_000))
        await asyncio.sleep(1)
        gone.transport.lose()
        await asyncio.sleep(1)
    assert len((await kept).topics) == 2_000
    assert len(decoded) == 1
    await asyncio.sleep(1)
    world.assert_idle()


@virtual
async def test_who_has_too_much_waiting_loses_its_connection(
    caplog: pytest.LogCaptureFixture,
) -> None:
    world, first = await started()
    hub = world.gateway.hub
    hub.bulk = BulkGate(100_000, slots_count=1)
    async with hub.bulk.slot("192.0.2.9", 1):
        crowd = [world.client() for _ in range(5)]
        for client in crowd:
            client.send(ApiKey.METADATA, 12, asking(2_000))
        await asyncio.sleep(1)
        lost_count = sum(client.transport.lost for client in crowd)
    assert 0 < lost_count < 5
    assert "send them one after the other" in reasons(caplog)[-1]
    assert (await first.call(ApiKey.METADATA, 12, asking(1))).topics
    await asyncio.sleep(1)
    world.assert_idle()
