"""Topics come and go at any node while nodes die and come back: what was answered is so, at every
node, once all are there again."""

from __future__ import annotations

import asyncio
import random  # noqa: TID251 - seeded

import pytest

from gateway.cluster.view import Node
from gateway.tests.cluster_world import WAY_S, GatewayWire
from gateway.tests.harness import batch_of, virtual
from gateway.tests.nodes import Nodes, OneGateway
from gateway.tests.virtual import until
from protocol import ErrorCode

NAMES = [f"t{number}" for number in range(6)]
DONE = (ErrorCode.NONE, ErrorCode.TOPIC_ALREADY_EXISTS, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)


class _Scene:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.world = Nodes(logs_count=3)
        self.alive: dict[int, OneGateway] = {}
        self.there: dict[str, bool | None] = dict.fromkeys(NAMES, False)
        """Whether a topic is there; None: nobody was told."""

    async def _connect(self, node: Node) -> GatewayWire:
        await asyncio.sleep(WAY_S)
        if node.node_id not in self.alive:
            raise OSError("nobody listens")
        return GatewayWire(self.alive[node.node_id].gateway, WAY_S)

    async def start(self, *node_ids: int) -> None:
        for node in await self.world.start(*node_ids):
            node.gateway.controller.connect = self._connect
            self.alive[node.node_id] = node

    async def settle(self) -> None:
        await until(lambda: self.world.is_shared_out(*self.alive.values()), 300.0)
        for node in self.alive.values():
            await node.gateway.broker.catalog.look(60.0)

    async def step(self) -> None:
        kind, name = self.rng.random(), self.rng.choice(NAMES)
        if kind < 0.1 and len(self.alive) == 3:
            asked, dying = self.rng.sample(list(self.alive), 2)
            changing = asyncio.ensure_future(self._change(name, asked))
            await asyncio.sleep(self.rng.random() * 0.1)
            await self.alive.pop(dying).die()
            await changing
        elif kind < 0.25 and len(self.alive) < 3:
            await self.start(next(n for n in (1, 2, 3) if n not in self.alive))
        elif kind < 0.4:
            await asyncio.sleep(self.rng.random() * 20)
        else:
            await self._change(name, self.rng.choice(list(self.alive)))

    async def _change(self, name: str, node_id: int) -> None:
        client, creating = self.alive[node_id].client(), self.rng.random() < 0.6
        if creating:
            (code,) = await client.create(name, partitions=3)
        else:
            (code,) = await client.deleted_topics(name)
        before = self.there[name]
        if code == ErrorCode.NONE:
            assert before is not creating, "done a second time"
        elif code in DONE:
            assert before is None or before is creating
        self.there[name] = creating if code in DONE else None

    def check(self) -> None:
        seen = [
            {t.name: (t.id, t.record.placements) for t in node.gateway.broker.topics}
            for node in self.alive.values()
        ]
        assert all(one == seen[0] for one in seen)
        for name, is_there in self.there.items():
            assert is_there is None or (name in seen[0]) is is_there, name
        placed = [place for _, places in seen[0].values() for place in places]
        assert len({*placed}) == len(placed)


@pytest.mark.parametrize("seed", range(5))
@virtual
async def test_what_was_answered_is_so_at_every_node(seed: int) -> None:
    scene = _Scene(seed)
    await scene.start(1, 2, 3)
    await scene.settle()
    for _ in range(60):
        await scene.step()
    await scene.start(*(n for n in (1, 2, 3) if n not in scene.alive))
    await scene.settle()
    scene.check()
    controller = next(n for n in scene.alive.values() if n.gateway.broker.is_controller)
    await until(lambda: not controller.gateway.broker.catalog.unserved(), 900.0)
    for name in NAMES:
        if scene.there[name]:
            for node in scene.alive.values():
                code = (await node.client().produced(name, batch_of(b"x"))).error_code
                assert code in (ErrorCode.NONE, ErrorCode.NOT_LEADER_OR_FOLLOWER)
    for node in scene.alive.values():
        await node.gateway.stop()
