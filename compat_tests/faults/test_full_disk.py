"""A disk that is full: records are refused, deletions and a stop get through, room comes back.

The broker has a small file system of its own, mounted where nobody else sees it; the test fills it
through /proc. Where mounts are not allowed, `gateway/broker/tests/test_room.py` alone tests all of
this, on a disk that is not real.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compat_tests.support.deadline import now_s, wait_until
from compat_tests.support.full import MIB, fill
from compat_tests.support.gateway import Gateway, default_command
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, delete_records, delete_topic, produce

DISK_BYTES = 48 * MIB
KAFKA_STORAGE_ERROR = 56
HIGH_WATERMARK = -1
BATCHES_MAX_COUNT = 200
OPTIONS = (
    "--disk-free-bytes-min=8MiB",
    "--disk-reserve-bytes=2MiB",
    "--segment-bytes-max=4MiB",
    "--block-bytes-max=1MiB",
    "--garbage-grace-ms=100ms",
)


class Disk:
    """The small file system of a running gateway, as seen from outside."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        mounting = f"mount -t tmpfs -o size={DISK_BYTES} tmpfs {folder}"
        self.unshared = ["unshare", "-Urm", "sh", "-c", f'{mounting} && exec "$@"', "sh"]

    def check(self) -> None:
        tried = subprocess.run(
            [*self.unshared, "true"], check=False, capture_output=True, text=True
        )
        if tried.returncode:
            pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()}")

    def fill(self, gateway: Gateway) -> None:
        fill(self._seen(gateway) / "filler")

    def clear(self, gateway: Gateway) -> None:
        (self._seen(gateway) / "filler").unlink()

    def _seen(self, gateway: Gateway) -> Path:
        return Path("/proc", str(gateway.pid), "root", self.folder.relative_to("/"))


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path)
    disk.check()
    return disk


@pytest.fixture(params=["file", "object"])
def gateway(
    request: pytest.FixtureRequest, disk: Disk, serve_command: list[str] | None
) -> Iterator[Gateway]:
    command = [*disk.unshared, *(serve_command or default_command())]
    data = str(disk.folder / "data")
    with Gateway(data, mode=request.param, command=command, options=OPTIONS) as gateway:
        yield gateway


@pytest.fixture
def wire(gateway: Gateway) -> Iterator[Connection]:
    with Connection(gateway.bootstrap) as connection:
        yield connection


def _code(wire: Connection, topic: str, timeout_ms: int = 30_000) -> int:
    return int(produce(wire, topic, build([bytes(400_000)]), timeout_ms=timeout_ms).error_code)


def _fill_by_producing(wire: Connection, topic: str) -> int:
    """Until that is refused; how many batches went in."""
    for count in range(BATCHES_MAX_COUNT):
        code = _code(wire, topic)
        if code:
            assert code == KAFKA_STORAGE_ERROR
            return count
    raise AssertionError(f"{BATCHES_MAX_COUNT} batches went into {DISK_BYTES} bytes")


def _within(timeout_ms: int, began_s: float) -> None:
    assert (now_s() - began_s) * 1_000 < timeout_ms + 500


@pytest.mark.parametrize("whole", [False, True], ids=["records", "topic"])
def test_what_is_deleted_makes_room(
    gateway: Gateway, disk: Disk, wire: Connection, whole: bool
) -> None:
    create_topic(wire, "t")
    create_topic(wire, "other")
    count = _fill_by_producing(wire, "t")
    create_topic(wire, "made-while-room-lacks")
    disk.fill(gateway)
    # A moment may pass until it looks again; what it takes meanwhile goes into the reserve.
    wait_until(lambda: _code(wire, "other") == KAFKA_STORAGE_ERROR, what="a refusal")
    began_s = now_s()
    if whole:
        assert delete_topic(wire, "t") == 0
    else:
        assert delete_records(wire, "t", {0: HIGH_WATERMARK}) == [(0, count)]
    _within(3_000, began_s)
    wait_until(lambda: _code(wire, "other") == 0, timeout_s=60, what="records to be taken again")
    assert gateway.stop() == 0


def test_a_disk_filled_at_one_blow_stops_neither_deletions_nor_the_broker(
    gateway: Gateway, disk: Disk, wire: Connection
) -> None:
    """Before anybody has looked: what was taken then waits for the reserve, and so do deletions."""
    create_topic(wire, "t")
    create_topic(wire, "other")
    for _ in range(30):
        assert _code(wire, "t") == 0
    disk.fill(gateway)
    assert _code(wire, "other", 5_000) in (0, KAFKA_STORAGE_ERROR)
    began_s = now_s()
    assert delete_topic(wire, "t") == 0
    _within(3_000, began_s)
    disk.clear(gateway)
    wait_until(lambda: _code(wire, "other") == 0, timeout_s=60, what="records to be taken again")


def test_a_stop_on_a_full_disk_takes_a_moment(
    gateway: Gateway, disk: Disk, wire: Connection
) -> None:
    create_topic(wire, "t")
    disk.fill(gateway)
    answers: list[Any] = [_code(wire, "t", 1_000) for _ in range(20)]
    assert set(answers) <= {0, 7, KAFKA_STORAGE_ERROR}
    disk.fill(gateway)
    began_s = now_s()
    gateway.stop()
    assert now_s() - began_s < 3
