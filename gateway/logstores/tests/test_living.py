"""The logstores that brokers find: who may be asked, who is passed over, who has moved."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.cluster.coordination.base import Delete, Put
from gateway.cluster.coordination.records import LogstoreRecord, encode, key_of, logstores_root
from gateway.cluster.coordination.static import StaticStore
from gateway.logstores.living import LivingLogstores
from gateway.testing.sim_coordination import SimCoordination
from wal_core import Candidate, SystemRng
from wal_core.testing.sim_loop import run

ROOT = logstores_root("/woodpecker")
GIB = 1 << 30


def record(number: int, **said: object) -> LogstoreRecord:
    defaults = {"rack": f"r{number}", "bytes_max": GIB}
    return LogstoreRecord(f"{number:032x}", f"ls-{number}", 9192, **(defaults | said))  # type: ignore[arg-type]


async def tell(store: StaticStore, *records: LogstoreRecord) -> None:
    await store.transact([], [Put(key_of(ROOT, row), encode(row)) for row in records])


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.005)


async def test_those_of_this_cluster_with_room_may_be_asked_the_emptiest_first() -> None:
    store = StaticStore()
    living = LivingLogstores(store, "/woodpecker", "mine", SystemRng())
    await tell(
        store,
        record(1, cluster="mine", held_bytes=GIB // 2),
        record(2),
        record(3, cluster="another"),
        record(4, is_full=True),
        record(5, cluster="mine", logs_count=7, rack=None),
    )
    await store.transact([], [Put(f"{ROOT}logstores/{9:032x}", b"no record")])
    await living.start()
    assert living.candidates() == [
        Candidate(f"{2:032x}", "r2"),
        Candidate(f"{5:032x}", ""),
        Candidate(f"{1:032x}", "r1"),
    ]
    assert living.replica(f"{4:032x}") is not None  # full, or another's: it says so itself
    assert living.replica(f"{9:032x}") is None
    await living.close()


async def test_one_that_comes_goes_or_moves_is_noticed() -> None:
    store = StaticStore()
    living = LivingLogstores(store, "/woodpecker", "mine", SystemRng())
    await living.start()
    assert living.candidates() == []
    one = record(1)
    await tell(store, one)
    await until(lambda: living.replica(one.disk) is not None)
    way = living.replica(one.disk)
    await tell(store, record(1, held_bytes=5))
    await until(lambda: living.records[one.disk].held_bytes == 5)
    assert living.replica(one.disk) is way
    await tell(store, LogstoreRecord(one.disk, "ls-1", 9999))
    await until(lambda: living.records[one.disk].port == 9999)
    assert living.replica(one.disk) is not way
    await store.transact([], [Delete(key_of(ROOT, one))])
    await until(lambda: living.replica(one.disk) is None)
    assert living._ways == {}
    await living.close()


def test_what_was_known_stays_while_etcd_is_away() -> None:
    async def main() -> None:
        store = StaticStore()
        way = SimCoordination(store)
        living = LivingLogstores(way, "/woodpecker", "mine", SystemRng())
        await tell(store, record(1))
        await living.start()
        way.cut()
        await tell(store, record(2))
        await asyncio.sleep(60)
        assert [row.store for row in living.candidates()] == [f"{1:032x}"]
        way.heal()
        await asyncio.sleep(60)
        assert [row.store for row in living.candidates()] == [f"{1:032x}", f"{2:032x}"]
        way.cut()
        late = LivingLogstores(way, "/woodpecker", "mine", SystemRng())
        await late.start()  # etcd may come later
        assert late.candidates() == []
        await late.close()
        await living.close()

    run(main)
