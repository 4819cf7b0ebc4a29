"""fsck against a real S3 server: sound after a kill, beside a broker, and precise about damage."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from compat_tests.stored.bucket import Bucket
from compat_tests.stored.layout import layout_of
from compat_tests.support.deadline import wait_until
from compat_tests.support.gateway import Gateway
from wal_core.testing.s3_server import S3Server

ROOT = Path(__file__).parents[2]
SMALL_SEGMENTS = ("--segment-bytes-max", "64KiB", "--block-bytes-max", "64KiB")
TOPIC = "orders"
SEGMENTS_COUNT = 12


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Our program, in an environment of its own."""
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        cwd=ROOT,
        env={"HOME": str(ROOT / "nobody"), **environ},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def fsck(data: str, *flags: str, **environ: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report."""
    done = command("fsck", "--data", data, "--json", *flags, **environ)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def fill(bootstrap: str) -> int:
    """Each record is more than half of a segment; returns how many were acknowledged."""
    producer = Producer({"bootstrap.servers": bootstrap})
    failed = []
    for number in range(2 * SEGMENTS_COUNT):
        producer.produce(
            TOPIC,
            b"%d" % number * 20_000,
            partition=0,
            on_delivery=lambda error, _: failed.append(error) if error else None,
        )
        assert producer.flush(30) == 0
    assert failed == []
    return 2 * SEGMENTS_COUNT


@pytest.fixture(scope="module")
def killed(s3_server: S3Server) -> Iterator[Bucket]:
    """A bucket that a broker was killed over: sealed, completed and unfinished segments."""
    environ = s3_server.environ()
    with (
        Bucket(s3_server, "compat", "fsck") as bucket,
        Gateway(bucket.location, mode="s3", options=SMALL_SEGMENTS, environ=environ) as gateway,
    ):
        fill(gateway.bootstrap)
        wait_until(
            lambda: any(key.startswith("sealed/") for key in bucket.sizes()), what="a compaction"
        )
        wait_until(
            lambda: layout_of(bucket.sizes(), bucket.get).sealed_count, what="a sealed segment"
        )
        _, report = fsck(bucket.location, **s3_server.environ())
        assert report["sound"], report["findings"]
        gateway.kill()
        yield bucket


def check(bucket: Bucket, server: S3Server, *flags: str) -> list[tuple[str, str]]:
    code, report = fsck(bucket.location, *flags, **server.environ())
    assert code == (0 if report["sound"] else 1)
    return [(row["kind"], row["place"]) for row in report["findings"] if not row["harmless"]]


def test_sound_after_a_kill(killed: Bucket, s3_server: S3Server) -> None:
    before = killed.sizes()
    code, report = fsck(killed.location, **s3_server.environ())
    assert code == 0
    layout = layout_of(before, killed.get)
    assert report["objects"] == len(before) - 1  # all but the marker
    assert report["bytes"] == sum(before.values()) - before["woodpecker.json"]
    (segments,) = [log["segments"] for log in report["logs"] if log["log"] == 1]
    assert segments["sealed"] == layout.sealed_count
    assert segments["completed"] == len(layout.completed)
    assert report["garbage"]["objects"] == len(layout.garbage)
    (stream,) = [row for row in report["streams"] if row["name"] == f"{TOPIC}-0"]
    assert (stream["first_offset"], stream["end_offset"]) == (0, 2 * SEGMENTS_COUNT)
    assert killed.sizes() == before


DAMAGE = ["block", "footer", "index", "sealed", "manifest"]


@pytest.mark.parametrize("what", DAMAGE)
def test_damage_by_hand(killed: Bucket, s3_server: S3Server, what: str) -> None:
    sizes = killed.sizes()
    layout = layout_of(sizes, killed.get)
    segment = f"logs/1/{layout.completed[-1]:020d}/"
    key = {
        "block": f"{segment}{0:010d}",
        "footer": max(key for key in sizes if key.startswith(segment)),
        "index": layout.manifest["sealed"][-1]["index"],
        "sealed": sealed_object(layout.named),
        "manifest": f"manifests/1/{layout.manifest['number']:020d}",
    }[what]
    body = killed.get(key)
    try:
        killed.put(key, body[:-1] + bytes([body[-1] ^ 1]))
        assert check(killed, s3_server) == [("damaged", key)]
        killed.put(key, body[:-1])
        assert check(killed, s3_server) == [("damaged", key)]
        assert check(killed, s3_server, "--quick") == [("damaged", key)]
        if what != "manifest":  # without it, the one before counts
            killed.delete(key)
            assert check(killed, s3_server, "--quick") == [("missing", key)]
    finally:
        killed.put(key, body)
    assert check(killed, s3_server) == []


def sealed_object(named: dict[str, int | None]) -> str:
    """A data object that an index names, wherever it is."""
    return next(key for key, size in named.items() if size and not key.endswith("/index"))


def test_a_segment_is_gone_and_an_orphan_came(killed: Bucket, s3_server: S3Server) -> None:
    sizes = killed.sizes()
    segment = f"logs/1/{layout_of(sizes, killed.get).completed[0]:020d}"
    bodies = {key: killed.get(key) for key in sizes if key.startswith(f"{segment}/")}
    killed.delete(*bodies)
    assert check(killed, s3_server) == [("gap", segment)]
    for key, body in bodies.items():
        killed.put(key, body)
    orphan = f"{segment}/0000000777"
    killed.put(orphan, b"what is this?")
    assert check(killed, s3_server) == [("orphan", orphan)]
    killed.delete(orphan)
    assert check(killed, s3_server) == []


def test_a_folder_of_files(tmp_path: Path) -> None:
    with Gateway(str(tmp_path), mode="file", options=SMALL_SEGMENTS) as gateway:
        fill(gateway.bootstrap)
        code, report = fsck(str(tmp_path))
        assert (code, report["findings"]) == (0, [])
        gateway.kill()
    code, report = fsck(str(tmp_path))
    assert (code, report["findings"]) == (0, [])
    files = sorted((tmp_path / "logs" / "1").glob("*.seg"))
    damaged = files[len(files) // 2]
    body = bytearray(damaged.read_bytes())
    body[200] ^= 1
    damaged.write_bytes(body)
    code, report = fsck(str(tmp_path))
    assert code == 1
    (finding,) = report["findings"]
    assert (finding["kind"], finding["place"]) == ("damaged", f"logs/1/{damaged.name}")
    assert {row["name"] for row in finding["records"]} == {f"{TOPIC}-0"}


def test_a_bucket_without_a_log(s3_server: S3Server) -> None:
    for data, said in [
        ("s3://compat/nothing-here", "holds no log: there is no woodpecker.json in it"),
        ("s3://missing/x", "create the bucket or correct --data"),
    ]:
        done = subprocess.run(
            [sys.executable, "-m", "gateway", "fsck", "--data", data],
            cwd=ROOT,
            env={"HOME": str(ROOT / "nobody"), **s3_server.environ()},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 2
        assert said in done.stderr
        assert "Traceback" not in done.stderr
    with Bucket(s3_server, "compat", "nothing-here") as bucket:
        assert bucket.sizes() == {}
