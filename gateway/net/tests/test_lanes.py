"""On real threads: what one need keeps busy does not hold up another."""

import ast
import asyncio
import threading
from pathlib import Path

import pytest

from gateway.broker import lookup
from gateway.tests.harness import World, batch_of
from protocol import ApiKey
from protocol.messages.list_offsets import (
    ListOffsetsPartition,
    ListOffsetsRequest,
    ListOffsetsTopic,
)
from wal_core.stores import off_loop

ROOT = Path(__file__).parents[3]
CLIENTS_COUNT = 40  # more than the threads of any executor here


async def test_a_segments_end_waits_for_no_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go, begun = threading.Event(), threading.Event()

    def blocked(*_: object, **__: object) -> None:
        begun.set()
        assert let_go.wait(60)

    monkeypatch.setattr(lookup, "find_offset_for_timestamp", blocked)
    monkeypatch.setattr(off_loop, "LARGE_ROWS_COUNT", 1)
    world = await World().start()
    client = world.client()
    await client.create("t")
    await client.produced("t", batch_of(b"x", times=[100]))
    asked = ListOffsetsPartition(partition_index=0, timestamp=50)
    topics = [ListOffsetsTopic(name="t", partitions=[asked])]
    request = ListOffsetsRequest(replica_id=-1, topics=topics)
    asking = [world.client().send(ApiKey.LIST_OFFSETS, 9, request) for _ in range(CLIENTS_COUNT)]
    while not begun.is_set():
        await asyncio.sleep(0)
    try:
        log = world.log
        segments_count = len(log._contents.chain.links)
        log._writer._start_roll()
        log._writer._after_progress()
        async with asyncio.timeout(20):
            await client.produced("t", batch_of(b"behind it"))
        assert len(log._contents.chain.links) == segments_count + 1
        assert not any(future.done() for future in asking)
    finally:
        let_go.set()
    await asyncio.gather(*asking)
    await world.stop()


def test_nothing_on_the_servers_paths_uses_the_loops_own_executor() -> None:
    found = []
    for path in (
        p for top in ("gateway", "wal_core", "protocol") for p in (ROOT / top).rglob("*.py")
    ):
        if {"tests", "testing"} & set(path.parts):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and _is_default_executor(node):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def _is_default_executor(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    first = call.args[0] if call.args else None
    nobodys = isinstance(first, ast.Constant) and first.value is None
    return name == "to_thread" or (name == "run_in_executor" and nobodys)
