"""A logstore over TCP, from its start to its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from wal_core.errors import Unavailable
from wal_core.logstore.remote import RemoteReplica, dial
from wal_core.logstore.replica import Asker, Tail
from wal_core.logstore.serving import ServedLogstore
from wal_core.logstore.tests.logstores import LOG, NONCE_A, block
from wal_core.testing.seeds import SeededRng


def bound() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_what_it_took_is_there_after_a_restart(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]
):
    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(live_twice(tmp_path))


async def live_twice(tmp_path: Path) -> None:
    asker = None
    for number in range(2):
        listener = bound()
        served = ServedLogstore(tmp_path, SeededRng(number), bytes_max=1 << 20)
        await served.start(listener)
        replica = RemoteReplica("r", dial(*listener.getsockname()), SeededRng(9), cluster="c")
        birth = await replica.join(LOG, 1, NONCE_A)
        asker = Asker(LOG, birth, 1, NONCE_A)
        first = 20 * number
        blocks = [block(n, payload=bytes(3_000)) for n in range(first, first + 20)]
        ends = await asyncio.gather(*(replica.append(asker, stored) for stored in blocks))
        assert max(ends) == first + 20
        assert await replica.promise(asker) == [Tail(0, first + 20, None)]
        assert served.synced.seconds.total > 0
        while not served.scrub.rounds_count:
            await asyncio.sleep(0)
        await served.close()
        with pytest.raises(Unavailable):
            await replica.look(asker)
        await replica.close()


async def test_a_folder_in_use_is_told(tmp_path: Path):
    served = ServedLogstore(tmp_path, SeededRng(1), bytes_max=1 << 20)
    await served.start(bound())
    with bound() as listener:
        other = ServedLogstore(tmp_path, SeededRng(2), bytes_max=1 << 20)
        with pytest.raises(Unavailable, match="in use"):
            await other.start(listener)
        await other.close()
    await served.close()
