"""News of a log: told at once, seldom, and to whoever is there."""

from __future__ import annotations

import asyncio

from gateway.broker.catalog_follower import POLL_S
from gateway.cluster.coordination.records import NewsRecord, decode, root
from gateway.cluster.coordination.static import StaticStore
from gateway.cluster.log_news import TOLD_S_MIN, LogNews
from gateway.testing.sim_coordination import SimCoordination
from gateway.tests.nodes import Nodes
from gateway.tests.virtual import until, virtual

ROOT = root("/w", "c")


async def _told(store: StaticStore) -> tuple[list[NewsRecord], int]:
    snapshot = await store.read(ROOT)
    records = [decode(ROOT, pair.key, pair.value) for pair in snapshot.keys]
    return [r for r in records if isinstance(r, NewsRecord)], snapshot.revision


@virtual
async def test_much_at_once_is_told_by_few_writes_and_the_last_of_it_too() -> None:
    store = StaticStore()
    news = LogNews(store, ROOT, 0)
    _, before = await _told(store)
    for end in range(1, 1_001):
        news.more(end)
        await asyncio.sleep(0.001)
    await asyncio.sleep(2 * TOLD_S_MIN)
    records, after = await _told(store)
    assert records == [NewsRecord(0, 1_000)]
    assert after - before <= 1 / TOLD_S_MIN + 2
    await news.stop()


@virtual
async def test_a_store_that_is_away_is_told_of_what_comes_later() -> None:
    store = StaticStore()
    way = SimCoordination(store)
    news = LogNews(way, ROOT, 0)
    way.cut()
    news.more(1)
    await asyncio.sleep(10)
    way.heal()
    news.more(2)
    await asyncio.sleep(1)
    assert (await _told(store))[0] == [NewsRecord(0, 2)]
    await news.stop()


@virtual
async def test_all_nodes_know_of_a_change_long_before_they_would_look_by_themselves() -> None:
    world = Nodes()
    nodes = await world.start(1, 2, 3)
    await until(lambda: world.is_shared_out(*nodes))
    controller = next(node for node in nodes if 0 in node.terms).gateway.broker
    for number in range(5):
        name = f"t{number}"
        await asyncio.sleep(1.3)
        await controller.creations.settled(controller.creations.create(name))
        took_s = await until(
            lambda name=name: all(n.gateway.broker.topics.named(name) for n in nodes)  # type: ignore[misc]
        )
        assert took_s < POLL_S / 10
    for node in nodes:
        await node.gateway.stop()
