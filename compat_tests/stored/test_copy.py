"""`copy` beside a broker that is written to: each copy is sound, opens, and holds what was
acknowledged before it began; from and to folders and buckets.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from compat_tests.stored.test_fsck import command, fsck
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import build, values_of
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic, fetch_batches, produce
from wal_core.testing.s3_server import S3Server

COPIES_COUNT = 3
SETTINGS = (
    *("--segment-bytes-max", "64KiB", "--block-bytes-max", "64KiB"),
    *("--garbage-grace-ms", "1000", "--dead-check-ms", "100"),
)
TOPIC = "orders"


class Writer:
    """Produces numbers, each in a few kilobytes, until it is told to stop."""

    def __init__(self, bootstrap: str) -> None:
        self.acked_count = 0
        self._bootstrap = bootstrap
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with Connection(self._bootstrap) as connection:
            while not self._stop.is_set():
                value = b"%010d" % self.acked_count * 700
                assert produce(connection, TOPIC, build([value])).error_code == 0
                self.acked_count += 1

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def copy(source: str, target: str, environ: dict[str, str]) -> None:
    done = command("copy", "--from", source, "--to", target, **environ)
    assert done.returncode == 0, done.stderr


def numbers_in(bootstrap: str) -> list[int]:
    with Connection(bootstrap) as connection:
        batches = fetch_batches(connection, TOPIC)
    found = [row for batch in batches for row in values_of(batch)]
    assert [offset for offset, _ in found] == list(range(len(found)))
    return [int((value or b"")[:10]) for _, value in found]


@contextmanager
def written(data: str, mode: str, environ: dict[str, str]) -> Iterator[Writer]:
    """A broker under load that has sealed something already."""
    with Gateway(data, mode=mode, options=SETTINGS, environ=environ) as gateway:
        with Connection(gateway.bootstrap) as connection:
            create_topic(connection, TOPIC)
        with Writer(gateway.bootstrap) as writer:
            wait_until(
                lambda: any("sealed" in line for line in gateway.log), what="a sealed segment"
            )
            yield writer
        assert gateway.stop() == 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("target_mode", ["file", "s3"])
@pytest.mark.parametrize("source_mode", ["file", "s3"])
def test_copies_of_a_broker_that_is_written_to(
    source_mode: str, target_mode: str, s3_server: S3Server, tmp_path: Path
) -> None:
    environ = s3_server.environ()
    name = f"copy-{source_mode}-{target_mode}"
    source = f"s3://compat/{name}" if source_mode == "s3" else str(tmp_path / "from")
    with written(source, source_mode, environ) as writer:
        for number in range(COPIES_COUNT):
            target = (
                f"s3://compat/{name}-{number}"
                if target_mode == "s3"
                else str(tmp_path / f"to-{number}")
            )
            acked_count = writer.acked_count
            copy(source, target, environ)
            code, report = fsck(target, **environ)
            assert (code, report["findings"]) == (0, [])
            # A bucket's copy in a folder is in mode object, like the original.
            mode = "file" if (source_mode, target_mode) == ("file", "file") else "s3"
            with Gateway(target, mode=mode, environ=environ) as restored:
                numbers = numbers_in(restored.bootstrap)
                assert restored.stop() == 0
            assert numbers == list(range(len(numbers)))
            assert len(numbers) >= acked_count
