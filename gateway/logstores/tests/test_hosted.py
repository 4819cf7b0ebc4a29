"""A logstore as the settings say, and what brokers find of it."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from gateway.cluster.coordination.base import CoordinationStore
from gateway.cluster.coordination.records import Record, decode, logstores_root
from gateway.cluster.coordination.static import StaticStore
from gateway.logstores import hosted as module
from gateway.logstores.hosted import HostedLogstore, hosted_as_set
from gateway.settings.config import Config
from wal_core import SystemRng, Unavailable

ROOT = logstores_root("/woodpecker")


def config_of(folder: Path) -> Config:
    return Config(
        logstore_data=str(folder),
        logstore_advertised_host="ls-1.example",
        logstore_advertised_port=9192,
        logstore_bytes_max=1 << 30,
        rack="r1",
    )


def bound() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


async def found(store: CoordinationStore) -> list[Record]:
    keys = (await store.read(f"{ROOT}logstores/")).keys
    return [decode(ROOT, pair.key, pair.value) for pair in keys]


async def until_found(store: CoordinationStore, wanted: list[Record]) -> None:
    async with asyncio.timeout(20):
        while await found(store) != wanted:
            await asyncio.sleep(0.01)


async def test_it_is_registered_with_its_load_and_gone_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOAD_S", 0.01)
    store = StaticStore()
    hosted = HostedLogstore(config_of(tmp_path), SystemRng())
    await hosted.start(bound(), store)
    record = hosted.record()
    assert (record.host, record.port, record.rack, record.cluster) == (
        "ls-1.example",
        9192,
        "r1",
        "",
    )
    assert record.disk == hosted.served.store.identity.disk.hex()
    await until_found(store, [record])
    await hosted.served.store.belong_to("c")
    await hosted.served.store.join(3, 1, bytes(16))
    changed = hosted.record()
    assert (changed.cluster, changed.logs_count) == ("c", 1)
    await until_found(store, [changed])
    await hosted.close()
    assert await found(store) == []


async def test_one_that_cannot_start_leaves_nothing_behind(tmp_path: Path) -> None:
    config = config_of(tmp_path)
    async with hosted_as_set(config, SystemRng(), bound()):
        listener = bound()
        with pytest.raises(Unavailable, match="in use"):
            async with hosted_as_set(config, SystemRng(), listener):
                pass
        assert listener.fileno() == -1
