import asyncio

import pytest

from gateway.tests.harness import World, loop_ms, virtual


@virtual
async def test_waiting_for_the_last_connection_ends_with_it_or_with_the_time() -> None:
    world = await World().start()
    hub = world.gateway.hub
    await hub.wait_all_gone(10)
    clients = [world.client() for _ in range(2)]
    await hub.wait_all_gone(0.5)
    assert loop_ms() == pytest.approx(500)
    for n, client in enumerate(clients):
        asyncio.get_running_loop().call_later(0.1 * n, client.transport.lose)
    await hub.wait_all_gone(10)
    assert loop_ms() == pytest.approx(600)
    assert not hub.connections
