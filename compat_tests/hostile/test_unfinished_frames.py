"""Frames that are announced, begun and never finished."""

import struct
from contextlib import ExitStack
from pathlib import Path

from compat_tests.support.deadline import now_s
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, produce

MIB = 1 << 20
PEERS_COUNT = 150
ANSWER_S_MAX = 5.0  # no promise about latency: an answer takes some milliseconds


def test_they_leave_what_others_need(tmp_path: Path, serve_command: list[str] | None) -> None:
    """More of them than there is memory for: requests that are sent whole are served at once."""
    options = ("--buffered-bytes-max", "128MiB")
    with ExitStack() as stack:
        gateway = Gateway(str(tmp_path), mode="file", command=serve_command, options=options)
        stack.enter_context(gateway)
        control = stack.enter_context(Connection(gateway.bootstrap))
        create_topic(control, "t")
        for _ in range(PEERS_COUNT):
            peer = stack.enter_context(Connection(gateway.bootstrap))
            peer.socket.settimeout(0.02)
            try:
                peer.send_raw(struct.pack(">i", 90 * MIB) + bytes(MIB))
            except TimeoutError:
                pass  # it is not read, as it should be
        for size in (10, 10_000, 900_000):
            began_s = now_s()
            assert produce(control, "t", build([bytes(size)])).error_code == 0
            assert now_s() - began_s < ANSWER_S_MAX
