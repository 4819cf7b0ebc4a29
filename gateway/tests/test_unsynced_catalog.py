"""Workers of one machine read the catalog as its file grows, and what is in a file may be gone
after a power cut: what the controller has written and not synced is nothing to act on."""

from __future__ import annotations

import asyncio
import copy
import errno
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

from gateway.broker.topics import Topic
from gateway.tests.cluster_world import ClusterWorld
from gateway.tests.harness import batch_of, virtual
from protocol import ErrorCode
from wal_core import SegmentStore, SystemRng, open_store
from wal_core.testing.sim_disk import Disk
from wal_core.testing.sim_system import installed

CATALOG = PurePosixPath("/data/logs/0")


class _Losing:
    """Of what was not synced a power cut leaves nothing."""

    def random(self) -> float:
        return 1.0

    def randrange(self, stop: int) -> int:
        return 0

    def choice(self, options: Sequence[Any]) -> Any:
        return options[0]


class _Machine(Disk):
    """Its disk, which may take the catalog's bytes and not get them onto the device."""

    def __init__(self) -> None:
        super().__init__(_Losing())  # type: ignore[arg-type]

    syncs_catalog = True

    def sync(self, fd: int) -> None:
        path = self._file(fd).path
        if not self.syncs_catalog and CATALOG in path.parents:
            raise OSError(errno.EIO, "planned: it does not come to an end")
        super().sync(fd)

    def after_a_power_cut(self) -> _Machine:
        other = _Machine()
        other.root = copy.deepcopy(self.root)
        other.cut_power()
        return other


class _Workers(ClusterWorld):
    """Two of one machine, each with descriptors and locks of its own."""

    def __init__(self) -> None:
        super().__init__(2, latency_s=0.0, data="/data", mode="file")

    async def start(self) -> ClusterWorld:
        self._stores = [await open_store("/data", "file", rng=SystemRng()) for _ in range(2)]
        return await super().start()

    def store(self) -> SegmentStore:
        return self._stores.pop()

    def topic(self, node_id: int, name: str) -> Topic | None:
        return self.gateways[node_id].broker.topics.named(name)


async def _with_a_topic_that_is_not_synced(disk: _Machine) -> _Machine:
    """A worker looks at the catalog, and is asked to take a record; what is left of the machine's
    disk then."""
    with installed(disk):
        world = _Workers()
        await world.start()
        await world.look()
        disk.syncs_catalog = False
        creating = asyncio.ensure_future(world.client(1).create("lost", partitions=2))
        await asyncio.sleep(1)
        assert world.topic(1, "lost") is not None, "its record is in the file"
        assert not creating.done()
        await world.look(2)
        answer = await world.client(2).produced("lost", batch_of(b"x"), index=1)
        left = disk.after_a_power_cut()
        disk.syncs_catalog = True
        await creating
        await world.look(2)
        assert world.topic(2, "lost") is not None
        await world.stop()
        assert answer.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return left


@virtual
async def test_a_worker_takes_nothing_for_a_topic_that_a_power_cut_may_take_away() -> None:
    """What it took would be nobody's after the cut, and the place of the next topic taken."""
    left = await _with_a_topic_that_is_not_synced(_Machine())
    with installed(left):
        world = _Workers()
        await world.start()
        await world.look()
        assert world.topic(1, "lost") is None
        assert await world.client(1).create("next", partitions=2) == [0]
        await world.look()
        taken = await world.client(2).produced("next", batch_of(b"x"), index=1)
        assert (taken.error_code, taken.base_offset) == (0, 0)
        await world.stop()
