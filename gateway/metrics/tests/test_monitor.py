"""From the start, when nothing is known, to the stop."""

from __future__ import annotations

from collections.abc import AsyncIterator

from gateway.metrics.monitor import Monitor
from gateway.tests.harness import started, virtual


@virtual
async def test_pages_from_start_to_stop() -> None:
    world, _ = await started()
    monitor = Monitor(world.config)
    assert monitor._livez().status == 200
    assert monitor._readyz() == monitor._metrics() == (503, b"the gateway starts\n", PLAIN)
    gateway = world.gateway
    monitor.watch(gateway.hub, gateway.broker, gateway.groups, world.store)
    assert monitor._readyz().status == 200
    page = monitor._metrics()
    assert page.status == 200
    assert isinstance(page.body, AsyncIterator)
    text = b"".join([piece async for piece in page.body])
    assert b"\nwoodpecker_ready 1.0\n" in text
    await monitor.stopping()
    assert monitor._livez().status == 200
    assert monitor._readyz() == (503, b"the gateway stops\n", PLAIN)
    await world.stop()
    await monitor.close()


PLAIN = "text/plain; charset=utf-8"
