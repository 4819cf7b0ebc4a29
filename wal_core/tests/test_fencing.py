"""Who may write: takeover, late blocks, lost replies. On the virtual clock, over one bucket."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from wal_core import (
    Fenced,
    Log,
    LogConfig,
    MemoryStore,
    SystemClock,
    Unavailable,
    open_store,
)
from wal_core.format.block import BlockKind, parse_block
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore, Planned
from wal_core.testing.sim_loop import run
from wal_core.tests.harness import CountingRng, Harness, Recorder

OBJECT = LogConfig.preset("object")


def key(segment: int, block: int) -> str:
    return f"{segment:020d}/{block:010d}"


async def opened(bucket: MemoryStore, config: LogConfig = OBJECT, **faults) -> Harness:
    faulty = FaultyObjectStore(bucket, **faults)
    return await Harness.open(await open_store("", "object", objects=faulty), config)


class _PausingStore(FaultyObjectStore):
    """Stands still at one call on the log, before or after its effect, until told to go on."""

    def __init__(self, bucket: MemoryStore, step: int, moment: str) -> None:
        super().__init__(bucket)
        self.go_on = asyncio.Event()
        self._step = step
        self._moment = moment

    async def _pause(self, moment: str, key_or_prefix: str) -> None:
        if key_or_prefix.startswith(("logs/", "manifests/")) and moment == self._moment:
            self._step -= 1
            if self._step == -1:
                await self.go_on.wait()

    async def _before(self, fault: Fault | None, key: str) -> None:
        await self._pause("before", key)

    async def _after(self, fault: Fault | None, key: str) -> None:
        await self._pause("after", key)


async def _say(h: Harness, payload: bytes) -> None:
    """Who has stepped down already refuses at once."""
    await h.add(0, payload)


def blocks_of(bucket: MemoryStore) -> dict[str, BlockKind]:
    return {
        k.removeprefix("logs/0/"): BlockKind(parse_block(body).header.kind)
        for k, body in bucket.objects.items()
        if k.startswith("logs/")
    }


def test_the_last_opener_owns_the_log_even_when_nothing_was_written():
    async def main() -> None:
        bucket = MemoryStore()
        a = await opened(bucket)
        b = await opened(bucket)
        assert b.log.term > a.log.term
        confirmation = a.add(0, b"x")
        with pytest.raises(Fenced):
            await confirmation
        with pytest.raises(Fenced):
            await a.log.failed
        with pytest.raises(Fenced):
            a.add(0, b"y")
        assert a.log.confirmed_offset(0) == 0
        await b.add(0, b"x")
        await a.log.close()
        await b.log.close()

    run(main)


def test_an_opener_that_fell_behind_a_busy_writer_catches_up_at_once():
    """While it looked at one slot, the writer filled many."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        bucket = MemoryStore()
        a = await opened(bucket, dataclasses.replace(OBJECT, segment_blocks_max=10_000))
        a.log._writer._listener = None  # else it would hold on when asked
        a.store.objects.latency_s = 0.03
        store = await open_store("", "object", objects=FaultyObjectStore(bucket, latency_s=0.03))
        opening = asyncio.ensure_future(
            Log.open(store, Recorder(), OBJECT, clock=SystemClock(), rng=CountingRng())
        )
        for _ in range(400):
            a.add(0, b"x")
            await asyncio.sleep(0.005)
        assert not opening.done()
        stopped_s = loop.time()
        b = await opening
        assert loop.time() - stopped_s < 15 * 0.03
        assert b.confirmed_offset(0) == 400

    run(main)


def test_a_stale_writer_in_mid_segment_never_acks_again():
    async def main() -> None:
        bucket = MemoryStore()
        a = await opened(bucket)
        for n in range(3):
            await a.add(n, b"a%d" % n)
        b = await opened(bucket)
        assert b.state.entries == a.state.entries
        late = [a.add(0, b"late"), a.add(1, b"late")]
        results = await asyncio.gather(*late, return_exceptions=True)
        assert all(isinstance(result, Fenced) for result in results)
        await b.add(0, b"b")
        assert await b.read_all(0) == [(0, b"a0"), (1, b"b")]
        await b.log.close()
        c = await opened(bucket)
        assert await c.read_all(0) == [(0, b"a0"), (1, b"b")]
        assert a.log.term < b.log.term < c.log.term

    run(main)


def test_a_stale_writer_cannot_complete_or_roll():
    async def main() -> None:
        bucket = MemoryStore()
        a = await opened(bucket)
        await a.add(0, b"a")
        await opened(bucket)
        await a.log.close()  # would complete the segment
        with pytest.raises(Fenced):
            await a.log.failed
        kinds = blocks_of(bucket)
        assert BlockKind.COMPLETE not in kinds.values()

    run(main)


def test_a_late_block_that_wins_the_fences_slot_is_replayed():
    async def main() -> None:
        bucket = MemoryStore()
        plan = [Planned("create", key(1, 1), Fault.LATE, late_s=0.05)]
        a = await opened(bucket, latency_s=0.01, plan=plan)
        await a.add(0, b"first")
        unanswered = a.add(0, b"second")
        await asyncio.sleep(0.015)  # on the wire; its reply is lost
        await a.log._writer.stop()
        assert isinstance(unanswered.exception(), Unavailable)
        # The listing comes before the late block arrives, the fence after it.
        slow = {"list": 0.001, "create": 0.2}
        b = await opened(bucket, latency_s=lambda operation, _: slow.get(operation, 0.001))
        assert [entry[4] for entry in b.state.entries] == [b"first", b"second"]
        assert await b.read_all(0) == [(0, b"first"), (1, b"second")]
        assert blocks_of(bucket)[key(1, 2)] is BlockKind.FENCE
        await b.add(0, b"third")

    run(main)


def test_blocks_beyond_a_gap_stay_invisible_for_ever():
    async def main() -> None:
        bucket = MemoryStore()
        plan = [Planned("create", key(1, 1), Fault.HANG)]
        config = dataclasses.replace(OBJECT, gather_ms=0, store_timeout_ms=1000)
        a = await opened(bucket, config, latency_s=0.01, plan=plan)
        await a.add(0, b"acked")
        lost = [a.add(0, b"lost")]
        await asyncio.sleep(0.001)
        lost += [a.add(0, b"orphan")]
        await asyncio.sleep(0.001)
        lost += [a.add(0, b"orphan too")]
        await asyncio.sleep(0.1)
        assert not any(future.done() for future in lost)
        await a.log._writer.stop()
        assert key(1, 2) in blocks_of(bucket)
        assert key(1, 3) in blocks_of(bucket)
        for _ in range(3):  # also for those who come later and look for the footer
            b = await opened(bucket)
            assert await b.read_all(0) == [(0, b"acked")]
            assert [entry[4] for entry in b.state.entries] == [b"acked"]
        await b.add(0, b"new")
        assert await b.read_all(0) == [(0, b"acked"), (1, b"new")]

    run(main)


def test_a_segment_whose_first_block_never_arrived():
    async def main() -> None:
        bucket = MemoryStore()
        plan = [Planned("create", key(1, 0), Fault.HANG)]
        a = await opened(bucket, dataclasses.replace(OBJECT, gather_ms=0), plan=plan)
        a.add(0, b"lost")
        await asyncio.sleep(0.001)
        a.add(0, b"orphan")
        await asyncio.sleep(0.1)
        await a.log._writer.stop()
        assert key(1, 1) in blocks_of(bucket)
        b = await opened(bucket)
        assert b.state.entries == []
        await b.add(0, b"new")
        c = await opened(bucket)
        assert await c.read_all(0) == [(0, b"new")]

    run(main)


@pytest.mark.parametrize("first", ["completion", "fence"])
def test_completion_and_fence_exclude_each_other(first):
    """Both are on their way to the slot behind the last block; one of them is there."""

    async def main() -> None:
        bucket = MemoryStore()
        slow = {key(1, 1): 0.3 if first == "fence" else 0.2}
        a = await opened(bucket, latency_s=lambda _, k: slow.get(k.removeprefix("logs/0/"), 0.001))
        await a.add(0, b"acked")
        closing = asyncio.ensure_future(a.log.close())
        b = await opened(bucket, latency_s=lambda operation, _: 0.25 * (operation == "create"))
        await closing
        kinds = blocks_of(bucket)
        if first == "completion":
            assert (kinds[key(1, 1)], kinds[key(2, 0)]) == (BlockKind.COMPLETE, BlockKind.FENCE)
            assert not a.log.failed.done()
        else:
            assert kinds[key(1, 1)] is BlockKind.FENCE
            assert key(2, 0) not in kinds
            assert isinstance(a.log.failed.exception(), Fenced)
        await b.add(0, b"new")
        assert await b.read_all(0) == [(0, b"acked"), (1, b"new")]

    run(main)


@pytest.mark.parametrize("first", ["roll", "fence"])
def test_a_roll_and_a_fence_want_the_next_segment(first):
    """The writer has completed its segment and the opener has seen it; both go on to the next."""

    async def main() -> None:
        bucket = MemoryStore()
        config = dataclasses.replace(OBJECT, segment_blocks_max=1)
        slow = {key(2, 0): 0.3 if first == "fence" else 0.2}
        a = await opened(
            bucket, config, latency_s=lambda _, k: slow.get(k.removeprefix("logs/0/"), 0.001)
        )
        await a.add(0, b"acked")
        await asyncio.sleep(0.01)  # the footer
        assert blocks_of(bucket)[key(1, 1)] is BlockKind.COMPLETE
        rolled = a.add(0, b"in the next segment")
        b = await opened(bucket, latency_s=lambda operation, _: 0.25 * (operation == "create"))
        kinds = blocks_of(bucket)
        if first == "roll":
            await rolled
            assert kinds[key(2, 0)] is BlockKind.DATA
            assert await b.read_all(0) == [(0, b"acked"), (1, b"in the next segment")]
        else:
            with pytest.raises(Fenced):
                await rolled
            assert kinds[key(2, 0)] is BlockKind.FENCE
            assert await b.read_all(0) == [(0, b"acked")]
        with pytest.raises(Fenced):
            await a.add(0, b"too late")
        await b.add(0, b"new")

    run(main)


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_opener_that_pauses_at_any_step_wins_or_loses_but_never_shares(moment):
    """Another one opens and writes meanwhile; of the two exactly one gets the next ack."""

    async def main() -> None:
        for step in range(100):
            bucket = MemoryStore()
            a = await opened(bucket)
            for n in range(3):
                await a.add(0, b"a%d" % n)
            paused = _PausingStore(bucket, step, moment)
            opening = asyncio.ensure_future(
                Harness.open(await open_store("", "object", objects=paused), OBJECT)
            )
            await asyncio.sleep(1)
            if opening.done():
                assert step > 4
                return
            c = await opened(bucket)
            # As long as b's: their blocks differ in nothing but what is in them, and the nonce.
            await c.add(0, b"c's turn")
            paused.go_on.set()
            try:
                b = await opening
            except Fenced:  # it noticed by itself
                await c.add(0, b"c's word")
                assert [p for _, p in await c.read_all(0)][-2:] == [b"c's turn", b"c's word"]
                continue
            outcomes = await asyncio.gather(
                _say(b, b"b's word"), _say(c, b"c's word"), return_exceptions=True
            )
            assert sorted(map(str, map(type, outcomes))) == sorted(
                map(str, (type(None), Fenced))
            ), (step, outcomes)
            owner, word = (b, b"b's word") if outcomes[0] is None else (c, b"c's word")
            found = [payload for _, payload in await owner.read_all(0)]
            assert found == [b"a0", b"a1", b"a2", b"c's turn", word]
            assert [entry[4] for entry in owner.state.entries] == found

    run(main)


@pytest.mark.parametrize("fault", list(Fault))
def test_an_own_earlier_success_is_recognised(fault):
    """Whatever happens to the reply, the block is stored once and confirmed once."""

    async def main() -> None:
        bucket = MemoryStore()
        config = dataclasses.replace(OBJECT, store_timeout_ms=500)
        plan = [Planned("create", key(1, 0), fault, late_s=0.2)]
        a = await opened(bucket, config, latency_s=0.01, plan=plan)
        await a.add(0, b"once")
        assert a.state.confirmed_calls == [{0: 1}]
        assert await a.read_all(0) == [(0, b"once")]
        await a.log.close()
        b = await opened(bucket)
        assert await b.read_all(0) == [(0, b"once")]

    run(main)


@pytest.mark.parametrize("fault", list(Fault))
@pytest.mark.parametrize("operation", ["create", "list", "get_range"])
def test_opening_survives_any_single_fault(fault, operation):
    async def main() -> None:
        if operation != "create" and fault is Fault.LATE:
            return
        bucket = MemoryStore()
        config = dataclasses.replace(OBJECT, store_timeout_ms=500)
        a = await opened(bucket, config)
        await a.add(0, b"kept")
        plan = [Planned(operation, "logs/", fault, late_s=0.2)]
        b = await opened(bucket, config, latency_s=0.01, plan=plan)
        assert await b.read_all(0) == [(0, b"kept")]
        await b.add(0, b"new")
        assert b.log.term > a.log.term

    run(main)


@pytest.mark.parametrize("seed", range(30))
def test_writers_that_fight_over_one_bucket_lose_nothing_acked(seed):
    """Openers come while older writers go on; whoever gets an ack must find it for ever."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        bucket = MemoryStore()
        acked: list[tuple[int, bytes]] = []
        terms: list[int] = []
        config = dataclasses.replace(
            OBJECT, gather_ms=2, segment_blocks_max=4, store_timeout_ms=300
        )

        async def writer(number: int) -> None:
            await asyncio.sleep(loop.rng.random())
            try:
                h = await opened(
                    bucket, config, jitter_s=0.05, fault_rate=0.2, seed=seed * 100 + number
                )
                terms.append(h.log.term)
                for n in range(40):
                    payload = b"%d-%d" % (number, n)
                    base = h.log.end_offset(0)
                    await h.add(0, payload)
                    acked.append((base, payload))
                    await asyncio.sleep(loop.rng.random() * 0.02)
            except Fenced:
                pass

        await asyncio.gather(*(writer(number) for number in range(5)))
        assert len(set(terms)) == len(terms)
        h = await opened(bucket)
        found = dict(await h.read_all(0))
        assert acked
        for base, payload in acked:
            assert found[base] == payload
        assert len(acked) == len(set(acked))
        assert [entry[4] for entry in h.state.entries] == list(found.values())

    run(main, seed=seed)


def test_a_stream_that_is_dropped_while_another_opens_does_not_come_back():
    """The opener has replayed the stream's entries before the writer's footer knew it no more."""

    async def main() -> None:
        bucket = MemoryStore()
        a = await opened(bucket)
        await a.add(1, b"x")
        await a.add(2, b"y")
        slow = FaultyObjectStore(bucket, latency_s=lambda call, _: 1.0 if call == "create" else 0.0)
        store = await open_store("", "object", objects=slow)
        opening = asyncio.ensure_future(Harness.open(store, OBJECT))
        await asyncio.sleep(0.5)
        a.log.drop_stream(1)
        await a.log.close()
        b = await opening
        assert b.log.stream_ids() == [2]
        assert b.log.end_offset(2) == 1
        await b.log.close()
        c = await opened(bucket)
        assert c.log.stream_ids() == [2]
        await c.log.close()

    run(main)
