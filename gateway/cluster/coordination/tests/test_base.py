"""What the interface promises, of a store in virtual time: with latency, and with faults."""

import asyncio

import pytest

from gateway.cluster.coordination.base import LeaseLost, Put, StoreAway, Unchanged
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.coordination.tests.coordination_contract import CoordinationContract, take
from gateway.testing.sim_coordination import SimCoordination
from wal_core.testing.sim_loop import run

CASES = [name for name in vars(CoordinationContract) if name.startswith("test_")]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", CASES)
def test_a_simulated_store_keeps_the_contract(name: str, seed: int) -> None:
    async def case() -> None:
        static = StaticStore()

        async def forget() -> None:
            static.compact()

        test = getattr(CoordinationContract(), name)
        extra = (forget,) if "forgotten" in name else ()
        await test(SimCoordination(static), *extra)

    run(case, seed, virtual_s_max=100)


def test_a_call_whose_answer_is_lost_may_have_taken_effect() -> None:
    async def case() -> None:
        static = StaticStore()
        with pytest.raises(StoreAway):
            await SimCoordination(static, lost_replies=1).transact([], [Put("/p/a", b"1")])
        assert [kv.value for kv in (await static.read("/p/")).keys] == [b"1"]

    run(case)


def test_who_is_cut_off_loses_its_lease_and_its_watch() -> None:
    async def case() -> None:
        static = StaticStore()
        here, there = SimCoordination(static), SimCoordination(static)
        lease = await here.grant(5)
        at = (await here.transact([], [Put("/p/a", b"1", lease)])).revision
        mine, others = here.watch("/p/", at), there.watch("/p/", at)
        ending = asyncio.ensure_future(take(mine, 1))
        await asyncio.sleep(1)
        here.cut()
        with pytest.raises(StoreAway):
            await ending
        with pytest.raises(StoreAway):
            await here.keep_alive(lease)
        ((gone,),) = await take(others, 1)
        assert (gone.key, gone.value) == ("/p/a", None)
        here.heal()
        with pytest.raises(LeaseLost):
            await here.keep_alive(lease)
        # Nothing is missed: the watch goes on from where it was.
        assert await take(here.watch("/p/", at), 1) == [(gone,)]

    run(case)


@pytest.mark.parametrize("seed", range(20))
def test_of_claims_whose_answers_are_lost_one_is_there_and_who_was_told_so_has_it(
    seed: int,
) -> None:
    async def case() -> None:
        static = StaticStore()

        async def claim(n: int) -> bool:
            way = SimCoordination(static, lost_replies=0.3)
            try:
                put = Put("/p/1", b"%d" % n)
                return (await way.transact([Unchanged("/p/1", 0)], [put])).succeeded
            except StoreAway:
                return False

        told = [n for n, won in enumerate(await asyncio.gather(*map(claim, range(6)))) if won]
        ((owner),) = (await static.read("/p/")).keys
        assert [b"%d" % n for n in told] in ([], [owner.value])

    run(case, seed)
