"""What was read from storage before goes from the system's memory to the socket as it is: the same
bytes, in order, however slowly they are taken, and whoever ends the connection."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import build, parse, values_of
from compat_tests.wire.connection import Connection, decode, response_class
from compat_tests.wire.messages import (
    FETCH_VERSION,
    create_topic,
    fetch_batches,
    fetch_request,
    metadata,
    produce,
)

BATCH_BYTES = 400_000
VALUES = [bytes([number]) * BATCH_BYTES for number in range(40)]
ALL_BYTES = BATCH_BYTES * len(VALUES)
REPLY_BYTES_MIN = 5_000_000
"""More than the system takes of one who does not read."""
ASKED_MAX_COUNT = 50
EVERYTHING = {"max_bytes": 2 * ALL_BYTES, "partition_max_bytes": 2 * ALL_BYTES}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """All of the topic was read twice since it started."""
    folder: Path = tmp_path_factory.mktemp("again")
    with Gateway(str(folder / "data"), mode="file").start() as gateway:
        with closing(Connection(gateway.bootstrap)) as connection:
            create_topic(connection, "t")
            for value in VALUES:
                assert produce(connection, "t", build([value])).error_code == 0
        gateway.restart(graceful=True)
        with closing(Connection(gateway.bootstrap)) as connection:
            for _ in range(2):
                assert values(fetch_batches(connection, "t")) == VALUES
        yield gateway
        assert gateway.tracebacks_count == 0
        assert gateway.stop() == 0


def values(batches: Any) -> list[bytes]:
    return [value for batch in batches for _, value in values_of(batch)]


def found_in(response: Any) -> list[bytes]:
    partition = response.responses[0].partitions[0]
    assert partition.error_code == 0
    return values(batch for batch in parse(bytes(partition.records)) if batch.whole)


def slow(gateway: Gateway) -> Connection:
    """Known to read much: so replies to it are large."""
    connection = Connection(gateway.bootstrap)
    for _ in range(ASKED_MAX_COUNT):
        response = connection.call(fetch_request("t", {0: 0}, **EVERYTHING), FETCH_VERSION)
        if len(found_in(response)) * BATCH_BYTES >= REPLY_BYTES_MIN:
            return connection
    raise AssertionError("its replies stay small")


def test_it_is_the_same_from_any_offset(gateway: Gateway) -> None:
    with closing(Connection(gateway.bootstrap)) as connection:
        for offset in range(0, len(VALUES), 3):
            assert values(fetch_batches(connection, "t", offset)) == VALUES[offset:]


def test_replies_to_one_who_takes_them_late_stay_whole_and_in_order(gateway: Gateway) -> None:
    with closing(slow(gateway)) as connection:
        for offset in (0, 5, 39, 20):
            connection.send(fetch_request("t", {0: offset}, **EVERYTHING), FETCH_VERSION)
        with closing(Connection(gateway.bootstrap)) as other:
            assert values(fetch_batches(other, "t")) == VALUES
            metadata(other, [])
        for offset in (0, 5, 39, 20):
            found = found_in(connection.receive()[1])
            assert found == VALUES[offset : offset + len(found)]
            assert found
        assert metadata(connection, []).brokers


def test_who_asks_for_nothing_more_gets_the_rest(gateway: Gateway) -> None:
    with closing(slow(gateway)) as connection:
        request = fetch_request("t", {0: 0}, **EVERYTHING)
        connection.send(request, FETCH_VERSION)
        begin = connection.socket.recv(4, socket.MSG_WAITALL)
        connection.socket.shutdown(socket.SHUT_WR)
        with closing(Connection(gateway.bootstrap)) as other:
            metadata(other, [])  # the end has been seen
        frame = b""
        while more := connection.socket.recv(1 << 20):
            frame += more
        assert len(frame) == int.from_bytes(begin)
        found = found_in(decode(response_class(request), FETCH_VERSION, frame))
        assert found == VALUES[: len(found)]


def test_a_reset_in_the_middle_harms_nobody(gateway: Gateway) -> None:
    with closing(slow(gateway)) as connection:
        connection.send(fetch_request("t", {0: 0}, **EVERYTHING), FETCH_VERSION)
        connection.socket.recv(4, socket.MSG_WAITALL)
        connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with closing(Connection(gateway.bootstrap)) as other:
        assert values(fetch_batches(other, "t")) == VALUES


def test_a_stop_lets_a_reply_that_has_begun_end(gateway: Gateway) -> None:
    with closing(slow(gateway)) as connection:
        connection.send(fetch_request("t", {0: 0}, **EVERYTHING), FETCH_VERSION)
        begin = connection.socket.recv(4, socket.MSG_WAITALL)
        with ThreadPoolExecutor(1) as pool:
            stopped = pool.submit(gateway.stop)
            assert len(connection._receive_exactly(int.from_bytes(begin))) >= BATCH_BYTES
            assert stopped.result() == 0
    gateway.start()
