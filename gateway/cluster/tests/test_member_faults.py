"""Members under whatever comes to mind, from seeds: in the end the living share all logs, and on
the way nobody is told an older owner after a newer one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.tests.fleet import TTL_S, Bucket, OneNode, shared_out
from gateway.tests.virtual import until
from wal_core.testing import sim_loop
from wal_core.testing.seeds import stream

if TYPE_CHECKING:
    from random import Random  # noqa: TID251 - seeded

NODES, LOGS, EVENTS_COUNT = 4, 9, 25
SEEDS = (1, 2, 3, 6, 9, 11)


class Trial:
    """One seed's nodes, dead and alive."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.bucket, self.store = Bucket(LOGS), StaticStore()
        self.alive: dict[int, OneNode] = {}
        self.seen: dict[tuple[OneNode, int], int] = {}

    def start(self, node_id: int) -> None:
        lost_replies = self.rng.choice([0.0, 0.0, 0.1])
        self.alive[node_id] = OneNode(self.bucket, self.store, node_id, lost_replies=lost_replies)

    async def event(self) -> None:
        node_id = self.rng.randrange(NODES)
        node = self.alive.get(node_id)
        if node is None:
            self.start(node_id)
            return
        what = self.rng.choice(["die", "leave", "cut", "cut", "heal", "write", "fail", "stranger"])
        if what == "die":
            await self.alive.pop(node_id).die()
        elif what == "leave":
            await self.alive.pop(node_id).member.leave(self.rng.random() * 3)
            await node.member.stop()
        elif what == "cut":
            node.way.cut()
        elif what == "heal":
            node.way.heal()
        elif what == "write":
            await node.write_all()
        elif what == "fail":
            node.fails = {self.rng.randrange(LOGS)} if self.rng.random() < 0.5 else set()
        elif node.terms:
            log = self.rng.choice(sorted(node.terms))
            self.bucket.terms[log] += 1
            self.bucket.writers[log] = "a stranger"

    def look(self) -> None:
        for node in self.alive.values():
            for log in self.bucket.logs:
                owner = node.member.view.owner(log)
                if owner is not None:
                    assert owner.term >= self.seen.get((node, log), 0), "an older owner is told"
                    self.seen[node, log] = owner.term

    async def end(self) -> None:
        for node_id in range(NODES):
            if node_id not in self.alive:
                self.start(node_id)
        nodes = list(self.alive.values())
        for node in nodes:
            node.way.heal()
            node.fails = set()
        await asyncio.sleep(2 * TTL_S)
        for node in nodes:
            await node.write_all()  # as clients do: whoever was fenced learns it
        await until(lambda: shared_out(self.bucket, *nodes), 400)
        await asyncio.sleep(100)  # moves that had begun
        openings = len(self.bucket.openings)
        await asyncio.sleep(200)
        assert len(self.bucket.openings) == openings, "logs go on moving"
        assert shared_out(self.bucket, *nodes)
        for node in nodes:
            await node.member.stop()


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_happens_the_living_share_all_logs_in_the_end(seed: int) -> None:
    async def body() -> None:
        trial = Trial(stream(seed, "members"))
        for node_id in range(NODES):
            trial.start(node_id)
        for _ in range(EVENTS_COUNT):
            await trial.event()
            for _ in range(trial.rng.randrange(60)):
                await asyncio.sleep(0.1)
                trial.look()
        await trial.end()

    sim_loop.run(body, seed=seed)
