"""What holds of a replica, wherever it is: the logstore itself, and one behind a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from wal_core.errors import Corrupt, Invalid, NoRoom, Unavailable, WalError
from wal_core.logstore.logstore import Logstore
from wal_core.logstore.remote import RemoteReplica
from wal_core.logstore.replica import Asker, Promised, Replica, Tail, Unknown
from wal_core.logstore.service import Service
from wal_core.logstore.tests.logstores import LOG, NONCE_A, NONCE_B, block, final, logstore
from wal_core.testing.seeds import SeededRng, stream
from wal_core.testing.sim_link import SimLinks

BYTES_MAX = 1 << 20


@asynccontextmanager
async def here(store: Logstore) -> AsyncIterator[Replica]:
    yield store


@asynccontextmanager
async def behind_a_connection(store: Logstore) -> AsyncIterator[Replica]:
    service = Service(store)
    links = SimLinks(service.connection, stream(1, "links"), piece_bytes_max=97)
    remote = RemoteReplica("r", links.dial(), SeededRng(1), cluster="c")
    try:
        yield remote
    finally:
        await remote.close()
        await service.close()


@pytest.fixture(params=[here, behind_a_connection], ids=lambda reach: reach.__name__)
async def replica(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Replica]:
    store = logstore(tmp_path, bytes_max=BYTES_MAX)
    await store.open()
    async with request.param(store) as reached:
        yield reached
    await store.close()


async def joined(replica: Replica) -> Asker:
    return Asker(LOG, await replica.join(LOG, 1, NONCE_A), 1, NONCE_A)


async def test_what_it_took_is_told_and_read(replica: Replica):
    a = await joined(replica)
    blocks = [block(n, confirmed=n, payload=b"p" * 300) for n in range(40)]
    ends = await asyncio.gather(*(replica.append(a, stored) for stored in blocks))
    assert sorted(ends)[-1] == 40
    assert await replica.append(a, blocks[3]) == 40  # again
    assert await replica.append(a, block(50)) == 40  # one before it is missing
    b = Asker(LOG, a.birth, 2, NONCE_B)
    assert await replica.promise(b) == [Tail(0, 40, None)]
    assert await replica.read(b, 0, 0, 1 << 20, recovering=True) == b"".join(blocks)
    reader = Asker(LOG, a.birth, 0, b"")
    assert await replica.look(reader) == [Tail(0, 39, None)]
    await replica.confirm(b, 0, 40)
    assert await replica.read(reader, 0, 38, 1 << 20) == b"".join(blocks[38:])
    assert await replica.read(reader, 0, 10, 1) == blocks[10]
    assert await replica.read(reader, 0, 40, 1 << 20) == b""


async def test_a_block_that_is_begun_is_told_of_once_in_another_turn(replica: Replica):
    a = await joined(replica)
    told: asyncio.Queue[int | WalError] = asyncio.Queue()
    for number in (0, 1, 0, 5):  # the third once more, the fourth with others missing
        replica.begin_append(a, block(number), told.put_nowait)
        assert told.empty()
    ends = [await told.get() for _ in range(4)]
    assert 2 in ends
    assert set(ends) <= {0, 1, 2}
    await replica.append(a, block(0))
    assert told.empty()
    b = Asker(LOG, a.birth, 2, NONCE_B)
    await replica.promise(b)
    with pytest.raises(Promised):
        replica.begin_append(a, block(2), told.put_nowait)
        raise await told.get()  # type: ignore[misc]


async def test_ends_are_told_and_segments_forgotten(replica: Replica):
    a = await joined(replica)
    await replica.append(a, block(0))
    await replica.end(a, final(a, 1))
    await replica.append(a, block(0, segment=1))
    assert await replica.promise(a) == [Tail(0, 1, final(a, 1)), Tail(1, 1, None)]
    await replica.forget(a, 1)
    assert await replica.promise(a) == [Tail(1, 1, None)]


async def test_who_was_not_promised_the_log_last_is_told_to_whom_it_is(replica: Replica):
    a = await joined(replica)
    b = Asker(LOG, a.birth, 7, NONCE_B)
    await replica.promise(b)
    asked: list[Callable[[], Awaitable[object]]] = [
        lambda: replica.append(a, block(0)),
        lambda: replica.promise(a),
        lambda: replica.join(LOG, 7, NONCE_A),
        lambda: replica.confirm(a, 0, 1),
        lambda: replica.end(a, final(a, 0)),
        lambda: replica.forget(a, 1),
        lambda: replica.read(a, 0, 0, 1, recovering=True),
    ]
    for ask in asked:
        with pytest.raises(Promised, match="term 7") as raised:
            await ask()
        assert (raised.value.term, raised.value.log_id) == (7, LOG)


async def test_a_log_that_it_does_not_know_is_no_reply(replica: Replica):
    a = await joined(replica)
    for asker in (a._replace(log_id=LOG + 1), a._replace(birth=bytes(16))):
        for refused in (replica.promise(asker), replica.look(asker), replica.read(asker, 0, 0, 1)):
            with pytest.raises(Unknown):
                await refused


async def test_what_can_never_be_taken_and_what_was_damaged(replica: Replica):
    a = await joined(replica)
    await replica.append(a, block(0))
    with pytest.raises(Invalid, match="another block"):
        await replica.append(a, block(0, payload=b"other"))
    damaged = bytearray(block(1))
    damaged[-1] ^= 1
    with pytest.raises(Corrupt, match="CRC"):
        await replica.append(a, damaged)
    with pytest.raises(Invalid, match="own term"):
        await replica.end(a, final(a, 1)._replace(term=3))
    with pytest.raises(Unavailable, match="1 are here"):
        await replica.end(a, final(a, 2))
    assert await replica.append(a, block(1)) == 2


async def test_without_room_there_is_room_for_promises_and_ends(replica: Replica):
    a = await joined(replica)
    await replica.append(a, block(0, payload=bytes(BYTES_MAX - 2000)))
    with pytest.raises(NoRoom):
        await replica.append(a, block(1, payload=bytes(3000)))
    await replica.end(a, final(a, 1))
    b = Asker(LOG, a.birth, 2, NONCE_B)
    assert await replica.promise(b) == [Tail(0, 1, final(a, 1))]
    await replica.forget(b, 1)
    assert await replica.append(b, block(0, segment=1)) == 1


async def test_a_block_larger_than_what_is_received_at_a_stretch(replica: Replica):
    a = await joined(replica)
    large = block(0, confirmed=0, payload=stream(1, "large").randbytes(800_000))
    assert await replica.append(a, large) == 1
    assert await replica.read(a, 0, 0, 1, recovering=True) == large


async def test_what_is_asked_without_waiting_takes_effect_in_order(replica: Replica):
    a = await joined(replica)
    b = Asker(LOG, a.birth, 2, NONCE_B)
    first = asyncio.ensure_future(replica.append(a, block(0)))
    promised = asyncio.ensure_future(replica.promise(b))
    late = asyncio.ensure_future(replica.append(a, block(1)))
    assert await first == 1
    assert await promised == [Tail(0, 1, None)]
    with pytest.raises((Promised, Unavailable)):
        await late
