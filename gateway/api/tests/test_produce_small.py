"""Small produces that are begun at once: what they do without, and what stays as it is."""

import pytest

from gateway.broker.partition import Partition
from gateway.tests.harness import batch_of, produce_request, started, virtual
from protocol import ApiKey, ErrorCode
from wal_core import Unavailable
from wal_core.testing.faulty_object_store import Fault, Planned


@virtual
async def test_it_takes_no_task_and_is_in_flight_all_the_same() -> None:
    world, client = await started()
    await client.create("t")
    hub = world.gateway.hub
    replies = [client.produce("t", batch_of(b"%d" % n)) for n in range(3)]
    assert (len(hub.tasks), hub.in_flight_count, len(hub.running())) == (0, 3, 1)
    offsets = [(await r).responses[0].partition_responses[0].base_offset for r in replies]
    assert offsets == [0, 1, 2]
    world.assert_idle()


@virtual
async def test_replies_that_are_ready_together_leave_in_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, client = await started()
    await client.create("t")
    written = []
    write = client.transport.writelines
    monkeypatch.setattr(client.transport, "writelines", lambda p: written.append(p) or write(p))
    replies = [client.produce("t", batch_of(b"%d" % n)) for n in range(5)]
    for reply in replies:
        await reply
    assert [len(pieces) for pieces in written] == [5]


@virtual
async def test_behind_one_that_takes_a_task_it_keeps_its_place() -> None:
    """Two partitions make a request an ordinary one; the small one comes in the same read."""
    _, client = await started()
    await client.create("t", partitions=2)
    two = produce_request({("t", 0): batch_of(b"a"), ("t", 1): batch_of(b"b")})
    first, one = client.prepare(ApiKey.PRODUCE, 9, two)
    second, other = client.prepare(ApiKey.PRODUCE, 9, produce_request({("t", 0): batch_of(b"c")}))
    client.transport.send(first + second)
    assert (await one).responses[0].partition_responses[0].base_offset == 0
    assert (await other).responses[0].partition_responses[0].base_offset == 1


@virtual
async def test_a_bug_is_answered_and_harms_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    _, client = await started()
    await client.create("t")
    with monkeypatch.context() as patch:
        patch.setattr(Partition, "append", lambda *_: 1 // 0)
        answer = await client.produced("t", batch_of(b"a"))
    assert (answer.error_code, answer.base_offset) == (ErrorCode.UNKNOWN_SERVER_ERROR, -1)
    assert (await client.produced("t", batch_of(b"b"))).base_offset == 0


@virtual
async def test_a_bug_before_the_append_leaves_it_to_the_other_way(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _, client = await started()
    await client.create("t")
    monkeypatch.setattr("gateway.api.produce_small.small_batch", lambda *_: 1 // 0)
    assert (await client.produced("t", batch_of(b"a"))).base_offset == 0
    assert "request was not begun at once" in caplog.text


@virtual
async def test_errors_are_answered_as_by_the_other_way(monkeypatch: pytest.MonkeyPatch) -> None:
    world, client = await started()
    await client.create("t")
    fields = {"producer_id": 7, "producer_epoch": 0}
    assert (await client.produced("t", batch_of(b"a", base_sequence=0, **fields))).base_offset == 0
    answer = await client.produced("t", batch_of(b"b", base_sequence=5, **fields))
    assert answer.error_code == ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    counts = world.gateway.hub.counts.by_api[ApiKey.PRODUCE]
    assert counts.errors == {ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER: 1}
    again = await client.produced("t", batch_of(b"a", base_sequence=0, **fields))
    assert (again.error_code, again.base_offset) == (0, 0)


@virtual
async def test_a_stop_does_not_wait_for_a_store_that_is_away_for_ever() -> None:
    world, client = await started(drain_ms=2_000)
    await client.create("t")
    world.objects.plan += [Planned("create", "", Fault.BEFORE)] * 99
    reply = client.produce("t", batch_of(b"a"))
    with pytest.raises(Unavailable):
        await world.stop()
    assert not client.is_open
    assert not reply.done()
    world.assert_idle()


@virtual
async def test_a_client_that_leaves_is_forgotten_and_its_batch_is_stored() -> None:
    world, client = await started()
    await client.create("t")
    client.produce("t", batch_of(b"a"))
    client.transport.lose()
    other = world.client()
    assert (await other.produced("t", batch_of(b"b"))).base_offset == 1
    world.assert_idle()
