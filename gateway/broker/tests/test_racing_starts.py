"""Two gateways that start at once on several logs: afterwards somebody serves everything, or people
are told what to do; and nobody serves by an old catalog."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gateway.broker.tests.test_owned_log import take_away
from gateway.server import Gateway
from gateway.tests.client import Client, batch_of
from gateway.tests.harness import NODE, CountingRng, VirtualClock, World, started, virtual
from wal_core import Fenced, WalError
from wal_core.stores.segments.object import ObjectSegmentStore
from wal_core.testing.faulty_object_store import Fault, FaultyObjectStore
from wal_core.testing.seeds import stream

PARTITIONS = 6


async def filled() -> World:
    """A topic on three logs, with a record in each partition; whoever wrote it has died."""
    world, client = await started(logs_count=3)
    assert await client.create("t", partitions=PARTITIONS) == [0]
    for index in range(PARTITIONS):
        assert (await client.produced("t", batch_of(b"x"), index=index)).error_code == 0
    await world.crash()
    return world


class Starter:
    """A gateway that starts on the bucket of a world."""

    def __init__(self, world: World, objects: FaultyObjectStore) -> None:
        self.gateway = Gateway(
            world.config, ObjectSegmentStore(objects), NODE, VirtualClock(), CountingRng()
        )
        self.error: WalError | None = None
        self._task = asyncio.ensure_future(self._start())

    async def _start(self) -> None:
        try:
            await self.gateway.start()
        except Fenced as error:
            self.error = error

    async def outcome(self) -> str | None:
        """What it gave up with; None when it serves."""
        await self._task
        return None if self.error is None else str(self.error)

    async def codes(self) -> list[int]:
        client = Client(self.gateway.connection())
        found = []
        for index in range(PARTITIONS):
            found.append((await client.produced("t", batch_of(b"y"), index=index)).error_code)
        return found


async def race(seed: int) -> tuple[list[str], set[int]]:
    """What those who gave up said, and which partitions are served in the end."""
    world = await filled()
    drawn = stream(seed, "racing starts")
    starters = []
    for number in range(2):
        objects = FaultyObjectStore(
            world.objects.inner,
            latency_s=drawn.choice([0.01, 0.05, 0.2]),
            jitter_s=drawn.choice([0.02, 0.3, 2]),
            seed=2 * seed + number,
        )
        starters.append(Starter(world, objects))
        await asyncio.sleep(drawn.random() * drawn.choice([0.1, 1, 3]))
    gave_up = [why for starter in starters if (why := await starter.outcome()) is not None]
    served: set[int] = set()
    for starter in starters:
        if starter.error is None:
            codes = await starter.codes()
            served |= {index for index, code in enumerate(codes) if code == 0}
    for starter in starters:
        if starter.error is None:
            await starter.gateway.stop()
    return gave_up, served


@pytest.mark.parametrize("seed", range(60))
def test_after_two_racing_starts_somebody_serves_everything_or_is_told_what_to_do(
    seed: int,
) -> None:
    @virtual
    async def body() -> None:
        gave_up, served = await race(seed)
        assert served == set(range(PARTITIONS)) or any("restart it" in why for why in gave_up)

    body()


async def paused_start(
    world: World, is_there: Callable[[str, str], bool]
) -> tuple[Starter, asyncio.Event]:
    """A starter that is stopped at the first call of that kind; and what lets it go on."""
    reached, go_on = asyncio.Event(), asyncio.Event()

    class Pausing(FaultyObjectStore):
        async def _arrive(self, operation: str, key: str) -> tuple[Fault | None, float]:
            if not reached.is_set() and is_there(operation, key):
                reached.set()
                await go_on.wait()
            return await super()._arrive(operation, key)

    starter = Starter(world, Pausing(world.objects.inner))
    await reached.wait()
    return starter, go_on


@virtual
async def test_who_has_lost_the_catalog_while_data_logs_were_opened_does_not_serve() -> None:
    """It knows nothing of topics that were created meanwhile, or of those that were deleted."""
    world = await filled()
    # Stopped on the way to its last log; another process takes the catalog meanwhile.
    late, go_on = await paused_start(
        world, lambda operation, key: operation == "create" and key.startswith("logs/3/")
    )
    world.gateway = late.gateway
    other = await take_away(world, 0)
    go_on.set()
    why = await late.outcome()
    assert why is not None
    assert "took the catalog over" in why
    assert "restart" in why
    assert "1, 2, 3" in why
    await other.close()


@virtual
async def test_who_has_the_catalog_takes_back_what_another_opener_took() -> None:
    world = await filled()
    starter, go_on = await paused_start(
        world, lambda operation, key: operation == "create" and key.startswith("logs/3/")
    )
    world.gateway = starter.gateway
    others = [await take_away(world, log_id) for log_id in (1, 3)]
    go_on.set()
    assert await starter.outcome() is None
    assert await starter.codes() == [0] * PARTITIONS
    await starter.gateway.stop()
    for other in others:
        await other.close()
