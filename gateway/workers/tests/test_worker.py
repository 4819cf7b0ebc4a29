"""A worker tells its supervisor that it is ready, and stops once that is gone."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec

from gateway.cluster.coordination import shared_wire as wire
from gateway.settings.config import Config
from gateway.workers.assignment import assign


def _question(link: socket.socket) -> wire.Question:
    length = int.from_bytes(link.recv(4, socket.MSG_WAITALL), "big")
    return wire.questions.decode(link.recv(length, socket.MSG_WAITALL))


def test_it_tells_its_supervisor_and_ends_with_it(tmp_path: Path) -> None:
    config = Config(data=str(tmp_path), workers_count=2, listen_port=0, disk_reserve_bytes=0)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.workers.worker", str(theirs.fileno())],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
        )
        theirs.close()
        told = assign(config, 1, port=0, own_port=0)
        assert process.stdin is not None and process.stderr is not None
        process.stdin.write(msgspec.json.encode(told))
        process.stdin.close()
        try:
            ours.settimeout(60)
            # It asks for its place among the others meanwhile, and is not answered.
            while not isinstance(_question(ours), wire.Ready):
                pass
            ours.close()
            said = process.stderr.read()
            assert process.wait(60) == 0, said
        finally:
            if process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
            process.stderr.close()
            process.wait()
    assert b'"stopped"' in said and b'"node": 1' in said
