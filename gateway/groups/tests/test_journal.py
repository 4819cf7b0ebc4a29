"""Order, durability and outcome of writes."""

from __future__ import annotations

import asyncio

import pytest

from gateway.groups.journal import JournalWriter
from gateway.groups.tests.harness import FakeJournal, settle, virtual
from protocol.error_codes import ErrorCode as E
from wal_core import Fenced, Invalid, Unavailable


class ManualJournal:
    """Every append waits for its own future, so that a test ends them in any order."""

    def __init__(self) -> None:
        self.appended: list[asyncio.Future[None]] = []

    async def append(self, group_id, records):
        future = asyncio.get_running_loop().create_future()
        self.appended.append(future)
        await future


def writer(journal, **changes) -> JournalWriter:
    usual = {"timeout_ms": 5_000, "pending_writes_max_count": 9, "pending_bytes_max": 1_000}
    return JournalWriter(journal, **(usual | changes))


@virtual
async def test_writes_of_a_group_take_effect_in_order_whatever_ends_first():
    journal = ManualJournal()
    subject = writer(journal)
    seen = []
    outcomes = [
        subject.write("g", [(b"k", b"%d" % n)], lambda n=n: seen.append(n)) for n in range(3)
    ]
    other = subject.write("other", [(b"o", b"1")], lambda: seen.append("other"))
    await settle()
    journal.appended[2].set_result(None)
    journal.appended[3].set_result(None)
    journal.appended[1].set_exception(Unavailable("full"))
    await settle()
    assert seen == ["other"]
    assert [o.done() for o in outcomes] == [False, True, False]
    journal.appended[0].set_result(None)
    assert [await o for o in outcomes] == [E.NONE, E.COORDINATOR_NOT_AVAILABLE, E.NONE]
    assert await other is E.NONE
    assert seen == ["other", 0, 2]
    assert dict(subject.snapshot()) == {b"k": b"2", b"o": b"1"}


@virtual
async def test_a_snapshot_has_what_is_under_way_and_loses_what_failed():
    journal = ManualJournal()
    subject = writer(journal)
    subject.restore(b"kept", b"1")
    subject.restore(b"gone", b"1")
    outcomes = [
        subject.write("g", [(b"kept", b"2"), (b"gone", None)], lambda: None),
        subject.write("g", [(b"kept", b"3")], lambda: None),
    ]
    await settle()
    assert dict(subject.snapshot()) == {b"kept": b"3"}
    journal.appended[1].set_exception(Fenced("newer writer"))
    await settle()
    assert dict(subject.snapshot()) == {b"kept": b"2"}
    journal.appended[0].set_exception(Fenced("newer writer"))
    assert [await o for o in outcomes] == [E.NOT_COORDINATOR] * 2
    assert dict(subject.snapshot()) == {b"kept": b"1", b"gone": b"1"}


@virtual
async def test_a_checkpoint_taken_during_an_append_has_its_records():
    class CuttingJournal(FakeJournal):
        def append(self, group_id, records):
            checkpoints.append(dict(subject.snapshot()))
            return super().append(group_id, records)

    checkpoints = []
    subject = writer(CuttingJournal())
    assert await subject.write("g", [(b"k", b"v")], lambda: None) is E.NONE
    assert checkpoints == [{b"k": b"v"}]


@virtual
async def test_a_caller_is_answered_in_time_and_the_write_takes_effect_later():
    journal = FakeJournal()
    journal.hold = True
    subject = writer(journal)
    seen = []
    outcome = subject.write("g", [(b"k", b"v")], lambda: seen.append(1))
    assert await outcome is E.COORDINATOR_NOT_AVAILABLE
    assert asyncio.get_running_loop().time() == pytest.approx(5)
    journal.release()
    await settle()
    assert seen == [1]


@virtual
async def test_nobody_needs_to_wait_for_a_write():
    journal = FakeJournal()
    journal.hold = True
    subject = writer(journal)
    seen = []
    outcome = subject.write("g", [(b"k", b"v")], lambda: seen.append(1))
    outcome.cancel()
    journal.release()
    await settle()
    assert seen == [1]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (Unavailable("full"), E.COORDINATOR_NOT_AVAILABLE),
        (TimeoutError(), E.COORDINATOR_NOT_AVAILABLE),
        (Fenced("newer"), E.NOT_COORDINATOR),
        (Invalid("bug"), E.UNKNOWN_SERVER_ERROR),
        (ValueError("bug"), E.UNKNOWN_SERVER_ERROR),
    ],
)
@pytest.mark.parametrize("at_call", [True, False])
@virtual
async def test_failures_become_codes(failure, code, at_call):
    class Failing:
        def append(self, group_id, records):
            if at_call:
                raise failure
            future = asyncio.get_running_loop().create_future()
            future.set_exception(failure)
            return future

    subject = writer(Failing())
    assert await subject.write("g", [(b"k", b"v")], lambda: pytest.fail("not durable")) is code
    await settle()
    assert subject.snapshot() == []


@virtual
async def test_writes_under_way_are_bounded():
    journal = FakeJournal()
    journal.hold = True
    subject = writer(journal, pending_writes_max_count=2)
    held = [subject.write("g", [(b"k", b"v")], lambda: None) for _ in range(2)]
    refused = subject.write("g", [(b"k", b"v")], lambda: None)
    assert await refused is E.COORDINATOR_NOT_AVAILABLE
    journal.release()
    assert [await o for o in held] == [E.NONE, E.NONE]
    assert not subject.write("g", [(b"k", b"v")], lambda: None).done()


@virtual
async def test_writes_under_way_are_bounded_in_bytes_but_one_is_always_possible():
    journal = FakeJournal()
    journal.hold = True
    subject = writer(journal, pending_bytes_max=10)
    ended: list[str] = []
    held = subject.write("g", [(b"k", bytes(100))], ended=lambda: ended.append("held"))
    refused = subject.write("h", [(b"k", b"v")], ended=lambda: ended.append("refused"))
    assert await refused is E.COORDINATOR_NOT_AVAILABLE
    assert ended == ["refused"]
    journal.release()
    assert await held is E.NONE
    assert ended == ["refused", "held"]
    journal.failure = Unavailable("away")
    failed = subject.write("h", [(b"k", b"v")], ended=lambda: ended.append("failed"))
    assert await failed is E.COORDINATOR_NOT_AVAILABLE
    assert ended == ["refused", "held", "failed"]


@virtual
async def test_close_waits_but_not_for_ever_and_spares_shared_futures():
    journal = FakeJournal()
    journal.hold = True
    subject = writer(journal)
    subject.write("g", [(b"k", b"v")], lambda: None)
    await subject.close()
    assert asyncio.get_running_loop().time() == pytest.approx(5)
    (shared,) = journal.held
    assert not shared.cancelled()
    manual = writer(ManualJournal(), timeout_ms=10)
    outcome = manual.write("g", [(b"k", b"v")], lambda: None)
    await manual.close()
    assert await outcome is E.COORDINATOR_NOT_AVAILABLE
