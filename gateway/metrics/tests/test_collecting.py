"""Every metric is read, and nothing is shown that is not in the table."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics.collecting import Sources, collect
from gateway.metrics.health import Health
from gateway.metrics.pauses import Pauses
from gateway.metrics.table import METRICS
from gateway.metrics.text import text_of
from gateway.settings.config import Config
from gateway.tests.harness import World, batch_of, fetch_request, produce_request, started, virtual
from gateway.tests.nodes import Nodes, OneGateway
from gateway.tests.virtual import until
from protocol import ApiKey
from wal_core import Histogram
from wal_core.stores.segments.object import ObjectSegmentStore


async def sources_of(world: World) -> Sources:
    gateway = world.gateway
    health = Health(world.config, gateway.broker, world.store)
    health.start()
    return Sources(gateway.hub, gateway.broker, gateway.groups, world.store, health, Pauses())


async def read(sources: Sources) -> dict[tuple[str, ...], float]:
    """Name and labels -> value, as Prometheus understands it."""
    text = b"".join([piece async for piece in text_of(collect(sources))]).decode()
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def a_little_of_everything() -> tuple[World, Any]:
    world, client = await started(logs_count=2)
    await client.create("secret-topic", partitions=4)
    for index in range(4):
        await client.produced("secret-topic", batch_of(b"x"), index=index)
    await client.call(ApiKey.PRODUCE, 9, produce_request({("secret-topic", 9): batch_of(b"x")}))
    await client.call(ApiKey.FETCH, 12, fetch_request({("secret-topic", 0): 0}))
    return world, client


@virtual
async def test_every_metric_of_the_table_has_samples_of_its_kind_and_labels() -> None:
    world, _ = await a_little_of_everything()
    sources = await sources_of(world)
    shown = set()
    for sample in collect(sources):
        metric = METRICS[sample.name]
        assert len(sample.labels) == len(metric.labels), sample
        assert isinstance(sample.value, Histogram) == (metric.kind == "histogram"), sample
        shown.add(sample.name)
    # Those of a logstore: test_logstore_pages.py.
    assert shown == {name for name in METRICS if not name.startswith("woodpecker_logstore_")}
    await sources.health.stop()
    await world.stop()


@virtual
async def test_what_prometheus_reads_is_what_happened() -> None:
    world, _ = await a_little_of_everything()
    sources = await sources_of(world)
    found = await read(sources)
    assert found["woodpecker_request_seconds_count", "Produce"] == 5
    assert found["woodpecker_request_errors_total", "Produce", "UNKNOWN_TOPIC_OR_PARTITION"] == 1
    assert found["woodpecker_partitions",] == 4
    assert found["woodpecker_log_serving", "2"] == found["woodpecker_ready",] == 1
    assert found["woodpecker_log_term", "0"] == world.catalog_log.term
    assert found["woodpecker_nodes",] == 1
    assert found["woodpecker_logs_opened_total",] == 3
    assert found["woodpecker_logs_without_owner",] == found["woodpecker_logs_lost_total",] == 0
    assert found["woodpecker_catalog_read_ago_seconds",] == 0
    assert found["woodpecker_budget_used_bytes", "tail"] > 0
    assert found["woodpecker_budget_limit_bytes", "tail"] == world.config.tail_cache_bytes
    assert found["woodpecker_cache_found_total", "tail"] >= 1
    assert found["woodpecker_flush_seconds_count", "1"] >= 1
    assert not any("secret" in label for key in found for label in key)
    await sources.health.stop()
    await world.stop()


@virtual
async def test_a_catalog_that_another_node_has_is_not_shown_as_ours() -> None:
    world, _ = await a_little_of_everything()
    sources = await sources_of(world)
    assert (await read(sources))["woodpecker_log_serving", "0"] == 1
    await world.gateway.broker.release_log(0)
    found = await read(sources)
    assert ("woodpecker_log_serving", "0") not in found
    assert found["woodpecker_log_serving", "1"] == 1
    await sources.health.stop()
    await world.stop()


@virtual
async def test_of_a_cluster_each_broker_shows_its_own_logs_and_what_it_sees_of_all() -> None:
    world = Nodes()
    nodes = await world.start(1, 2, 3)
    await until(lambda: world.is_shared_out(*nodes))
    (controller,) = [node for node in nodes if 0 in node.terms]
    assert await controller.client().create("t", partitions=8) == [0]
    shown: set[str] = set()
    for node in nodes:
        await node.gateway.broker.catalog.look(10)
        found = await seen_by(node)
        own = {name[1] for name in found if name[0] == "woodpecker_log_serving"}
        assert own == {str(log) for log in node.terms}
        assert not shown & own
        shown |= own
        assert found["woodpecker_nodes",] == 3
        assert found["woodpecker_logs_without_owner",] == 0
        assert found["woodpecker_logs_opened_total",] >= len(own)
        assert (found["woodpecker_catalog_read_ago_seconds",] == 0) == ("0" in own)
    assert shown == {"0", "1", "2", "3", "4"}
    others = [node for node in nodes if node is not controller]
    await controller.die()
    assert (await seen_by(others[0]))["woodpecker_logs_without_owner",] == 0, "it is not known yet"
    await until(lambda: len(others[0].gateway.broker.cluster.nodes) == 2)
    assert (await seen_by(others[0]))["woodpecker_logs_without_owner",] > 0
    await until(lambda: world.is_shared_out(*others))
    found = await seen_by(others[0])
    assert (found["woodpecker_nodes",], found["woodpecker_logs_without_owner",]) == (2, 0)
    for node in others:
        await node.gateway.stop()


async def seen_by(node: OneGateway) -> dict[tuple[str, ...], float]:
    gateway, store = node.gateway, ObjectSegmentStore(node.objects)
    health = Health(Config(data="memory:"), gateway.broker, store)
    return await read(Sources(gateway.hub, gateway.broker, gateway.groups, store, health, Pauses()))
