"""Fetch sessions through the codec: increments, errors, topics by id, and nobody starves."""

from typing import Any

import pytest

from gateway.tests.harness import Client, World, batch_of, fetch_request, started, virtual
from protocol import ApiKey, ErrorCode
from protocol.messages.fetch import FetchPartition, FetchRequest, FetchTopic, ForgottenTopic

Offsets = dict[tuple[str, int], int]


class Reader:
    """A client that keeps a session as KIP-227 has it: it names what has changed alone."""

    def __init__(self, client: Client, version: int = 12, **fields: Any) -> None:
        self._client = client
        self._version = version
        self._fields = fields
        self.session = (0, 0)

    async def fetch(self, offsets: Offsets, *forgotten: tuple[str, int]) -> Any:
        request = fetch_request(offsets, session=self.session, **self._fields)
        request.forgotten_topics_data = [
            ForgottenTopic(topic=topic, partitions=[index]) for topic, index in forgotten
        ]
        reply = await self._client.call(ApiKey.FETCH, self._version, request)
        if not reply.error_code:
            self.session = (reply.session_id, self.session[1] + 1)
        return reply


def _told(reply: Any) -> dict[tuple[str, int], tuple[int, int]]:
    """Error and high watermark of each partition that is in the reply."""
    return {
        (topic.topic, p.partition_index): (p.error_code, p.high_watermark)
        for topic in reply.responses
        for p in topic.partitions
    }


@pytest.mark.parametrize("version", range(7, 13))
def test_a_session_tells_what_is_new(version: int) -> None:
    @virtual
    async def body() -> None:
        world, client = await started()
        await client.create("a", "b", partitions=2)
        reader = Reader(client, version)
        asked = {("a", 0): 0, ("a", 1): 0, ("b", 0): 0}
        first = await reader.fetch(asked)
        assert first.session_id > 0
        assert _told(first) == dict.fromkeys(asked, (0, 0))
        assert _told(await reader.fetch({})) == {}
        await client.produced("a", batch_of(b"x"), index=1)
        assert _told(await reader.fetch({})) == {("a", 1): (0, 1)}
        # The records again until the client moves on, and then nothing.
        assert _told(await reader.fetch({})) == {("a", 1): (0, 1)}
        assert _told(await reader.fetch({("a", 1): 1})) == {}
        assert _told(await reader.fetch({("b", 1): 0}, ("a", 0))) == {("b", 1): (0, 0)}
        await client.produced("a", batch_of(b"x"), index=0)
        assert _told(await reader.fetch({})) == {}
        assert reader.session == (first.session_id, 7)
        sessions = world.gateway.hub.services.fetch_sessions
        assert len(sessions) == 1

    body()


@virtual
async def test_a_parked_session_wakes_for_what_it_did_not_name() -> None:
    world, client = await started()
    await client.create("t", partitions=3)
    reader = Reader(client, wait_ms=60_000)
    reader._fields["wait_ms"] = 0
    await reader.fetch({("t", index): 0 for index in range(3)})
    request = fetch_request({}, session=reader.session, wait_ms=60_000)
    parked = client.send(ApiKey.FETCH, 12, request)
    await world.client().produced("t", batch_of(b"x"), index=2)
    assert _told(await parked) == {("t", 2): (0, 1)}


@virtual
async def test_errors_are_told_again_and_their_end_as_well() -> None:
    _, client = await started()
    await client.create("t")
    reader = Reader(client)
    await reader.fetch({("t", 0): 0, ("none", 0): 0})
    unknown = (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, -1)
    for _ in range(2):
        assert _told(await reader.fetch({})) == {("none", 0): unknown}
    await client.create("none")
    assert _told(await reader.fetch({})) == {("none", 0): (0, 0)}
    assert _told(await reader.fetch({})) == {}
    assert _told(await reader.fetch({("t", 0): 7}))["t", 0][0] == ErrorCode.OFFSET_OUT_OF_RANGE


@virtual
async def test_a_session_ends_when_its_client_says_so() -> None:
    world, client = await started()
    sessions = world.gateway.hub.services.fetch_sessions
    await client.create("t")
    for last in ((-1, {}), (-1, {("t", 0): 0}), (0, {("t", 0): 0})):
        reader = Reader(client)
        first = await reader.fetch({("t", 0): 0})
        epoch, offsets = last
        request = fetch_request(offsets, session=(first.session_id, epoch))
        reply = await client.call(ApiKey.FETCH, 12, request)
        assert reply.error_code == 0
        assert len(sessions) == (1 if epoch == 0 else 0)
        old = fetch_request({}, session=(first.session_id, 1))
        reply = await client.call(ApiKey.FETCH, 12, old)
        assert reply.error_code == ErrorCode.FETCH_SESSION_ID_NOT_FOUND
        assert reply.responses == []
    reader = Reader(client)
    await reader.fetch({("t", 0): 0})
    emptied = await reader.fetch({}, ("t", 0))
    assert (emptied.error_code, emptied.session_id, emptied.responses) == (0, 0, [])


@virtual
async def test_a_request_that_is_sent_twice_is_refused() -> None:
    _, client = await started()
    await client.create("t")
    reader = Reader(client)
    session_id = (await reader.fetch({("t", 0): 0})).session_id
    for epoch, code in ((1, 0), (1, 71), (3, 71), (2, 0)):
        request = fetch_request({}, session=(session_id, epoch))
        assert (await client.call(ApiKey.FETCH, 12, request)).error_code == code


def _by_id(world: World, name: str, session: tuple[int, int]) -> FetchRequest:
    topic = world.gateway.broker.topics.named(name)
    assert topic is not None
    asked = FetchTopic(
        topic_id=topic.id, partitions=[FetchPartition(partition_max_bytes=1_000_000)]
    )
    return FetchRequest(session_id=session[0], session_epoch=session[1], topics=[asked])


@virtual
async def test_names_and_ids_are_not_mixed_in_a_session() -> None:
    world, client = await started()
    await client.create("t")
    first = await client.call(ApiKey.FETCH, 13, _by_id(world, "t", (0, 0)))
    nothing = fetch_request({}, session=(first.session_id, 1))
    mixed = await client.call(ApiKey.FETCH, 12, nothing)
    assert mixed.error_code == ErrorCode.FETCH_SESSION_TOPIC_ID_ERROR
    assert (await client.call(ApiKey.FETCH, 13, nothing)).responses == []
    await client.produced("t", batch_of(b"x"))
    again = fetch_request({}, session=(first.session_id, 2))
    reply = await client.call(ApiKey.FETCH, 18, again)
    assert reply.responses[0].topic_id == first.responses[0].topic_id
    assert reply.responses[0].partitions[0].high_watermark == 1
    topic = world.gateway.broker.topics.named("t")
    assert topic is not None
    await world.gateway.broker.deletions.delete(topic)
    await client.create("t")  # another one
    gone = await client.call(ApiKey.FETCH, 18, fetch_request({}, session=(first.session_id, 3)))
    assert gone.responses[0].partitions[0].error_code == ErrorCode.UNKNOWN_TOPIC_ID


@virtual
async def test_a_session_is_of_no_connection() -> None:
    """As in Kafka: whoever has its number and its epoch goes on with it."""
    world, client = await started()
    await client.create("t")
    session_id = (await Reader(client).fetch({("t", 0): 0})).session_id
    request = fetch_request({}, session=(session_id, 1))
    assert (await world.client().call(ApiKey.FETCH, 12, request)).error_code == 0


@virtual
async def test_no_partition_of_a_session_starves() -> None:
    """Each reply holds one batch; the client names those alone that it has moved on in."""
    _, client = await started()
    await client.create("t", partitions=5)
    for index in range(5):
        for _ in range(8):
            await client.produced("t", batch_of(bytes(2_000)), index=index)
    reader = Reader(client, bytes_max=2_100)
    moved = {("t", index): 0 for index in range(5)}
    served = dict.fromkeys(range(5), 0)
    for _ in range(20):
        reply = await reader.fetch(moved)
        moved = {}
        for topic in reply.responses:
            for p in topic.partitions:
                if p.records:
                    served[p.partition_index] += 1
                    moved["t", p.partition_index] = served[p.partition_index]
    assert set(served.values()) == {4}
