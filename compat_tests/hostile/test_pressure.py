"""Slow, greedy and silent peers: each may hurt itself only."""

import socket
import struct
from collections.abc import Callable

import pytest

from compat_tests.support.deadline import pause, wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection, frame_of, framed
from compat_tests.wire.messages import (
    FETCH_VERSION,
    METADATA_VERSION,
    PRODUCE_VERSION,
    api_versions,
    create_topic,
    fetch_request,
    metadata_request,
    only_partition,
    produce,
    produce_request,
)

ANNOUNCED_BYTES = 90 << 20
PEERS_COUNT = 50
MIB = 1 << 20
REPLY_BYTES_MAX = 256 * MIB  # the default of --reply-bytes-max
LEFT_BYTES_MAX = 50 * MIB


def test_announced_bytes_are_not_allocated(victim: Gateway, dial: Callable[[], Connection]) -> None:
    """Fifty peers announce 90 MiB each and send ten bytes."""
    before_bytes = victim.rss_bytes()
    for _ in range(PEERS_COUNT):
        dial().send_raw(struct.pack(">i", ANNOUNCED_BYTES) + bytes(10))
    api_versions(dial())
    assert victim.rss_bytes() - before_bytes < 100 * MIB


def test_announcers_do_not_use_up_what_others_need(
    dial: Callable[[], Connection], topic: str
) -> None:
    """They owe the rest of their frames for ever; a large produce is served all the same."""
    for _ in range(PEERS_COUNT):
        dial().send_raw(struct.pack(">i", ANNOUNCED_BYTES) + bytes(10))
    control = dial()
    create_topic(control, topic)
    assert produce(control, topic, build([bytes(5_000_000)])).error_code == 0


def test_a_sender_of_single_bytes(dial: Callable[[], Connection]) -> None:
    slow = dial()
    for byte in framed(frame_of(metadata_request([]), METADATA_VERSION, 9)):
        slow.send_raw(bytes([byte]))
        pause(0.02)
    assert slow.receive_frame()[:4] == struct.pack(">i", 9)


@pytest.mark.timeout(180)
def test_readers_that_stop_reading(
    victim: Gateway, dial: Callable[[], Connection], topic: str
) -> None:
    """Ten peers ask again and again for 8 MB and take none of it."""
    control = dial()
    create_topic(control, topic)
    for number in range(8):
        produce(control, topic, build([bytes([number]) * 1_000_000]))
    before_bytes = victim.rss_bytes()
    stalled = [dial() for _ in range(10)]
    for connection in stalled:
        connection.socket.setblocking(False)
        try:
            for _ in range(200):
                connection.send(fetch_request(topic, {0: 0}), 12)
        except BlockingIOError:
            pass
    for _ in range(20):
        assert produce(control, topic, build([b"others go on"])).error_code == 0
    wait_until(lambda: victim.rss_bytes() - before_bytes < 768 * MIB, what="bounded memory")
    for connection in stalled:
        connection.close()


@pytest.mark.timeout(180)
def test_replies_that_nobody_reads_are_bounded_in_all(
    own_gateway: Callable[..., Gateway], topic: str
) -> None:
    """Peers ask for 50 MiB each of what is in no cache and take none of it; then they go."""
    gateway = own_gateway("file", "--tail-cache-bytes", "0", "--block-cache-bytes", "0")
    partitions = range(50)
    with Connection(gateway.bootstrap) as control:
        create_topic(control, topic, partitions=len(partitions))
        for partition in partitions:
            batch = build([bytes(900_000)])
            assert produce(control, topic, batch, partition=partition).error_code == 0
        before_bytes = gateway.rss_bytes()
        silent = [Connection(gateway.bootstrap) for _ in range(25)]
        for connection in silent:
            for _ in range(4):
                request = fetch_request(
                    topic,
                    dict.fromkeys(partitions, 0),
                    max_wait_ms=500,
                    partition_max_bytes=MIB,
                )
                connection.send(request, FETCH_VERSION)
            # One after the other, so that they do not share what is read for them.
            assert connection.socket.recv(1, socket.MSG_PEEK)
        assert gateway.rss_bytes() - before_bytes < REPLY_BYTES_MAX
        for _ in range(20):
            request = fetch_request(topic, {0: 0}, max_wait_ms=500)
            answer = control.call(request, FETCH_VERSION)
            assert answer.responses[0].partitions[0].error_code == 0
        for connection in silent:
            connection.close()
        wait_until(
            lambda: gateway.rss_bytes() - before_bytes < LEFT_BYTES_MAX,
            what="the memory of replies whose readers are gone",
        )


@pytest.mark.timeout(180)
def test_a_flood_without_reading(dial: Callable[[], Connection], topic: str) -> None:
    """Requests pile up at the sender, not in the broker; read later, every answer is there."""
    flood = dial()
    control = dial()
    create_topic(control, topic, partitions=500)  # so that answers soon fill what the kernel holds
    flood.socket.settimeout(0.5)
    sent_count = 0
    with pytest.raises(TimeoutError):
        for correlation_id in range(20_000):
            # From a client of a very long name: it soon fills what the kernel holds of requests.
            question = metadata_request([topic], version=1)
            flood.send_frame(frame_of(question, 1, correlation_id, "x" * 30_000))
            sent_count += 1
    api_versions(control)
    flood.socket.settimeout(20)
    for expected in range(sent_count):
        assert flood.receive_frame()[:4] == struct.pack(">i", expected)


@pytest.mark.timeout(180)
def test_large_produces_in_flight(
    victim: Gateway, dial: Callable[[], Connection], topic: str
) -> None:
    """Twenty peers with sixteen megabytes each on the way; all are stored in the end."""
    control = dial()
    create_topic(control, topic)
    batch = build([bytes(4_000_000)])
    senders = [dial() for _ in range(20)]
    for connection in senders:
        for _ in range(4):
            connection.send(produce_request({topic: {0: batch}}), PRODUCE_VERSION)
    bases = sorted(
        only_partition(connection.receive()[1]).base_offset
        for connection in senders
        for _ in range(4)
    )
    assert bases == list(range(80))


def test_connections_come_and_go(victim: Gateway, dial: Callable[[], Connection]) -> None:
    """Opened and dropped, in the middle of a frame, with a reset, without a word."""
    for number in range(600):
        connection = Connection(victim.bootstrap)
        if number % 3 == 1:
            connection.send_raw(struct.pack(">i", 100) + bytes(number % 90))
        if number % 3 == 2:
            linger = struct.pack("ii", 1, 0)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()
    api_versions(dial())


def test_silent_peers_do_not_keep_others_out(dial: Callable[[], Connection]) -> None:
    silent = [dial() for _ in range(300)]
    api_versions(dial())
    api_versions(silent[-1])
