"""A broker's folder is damaged, repaired, and served again: what was readable still is."""

from pathlib import Path

from compat_tests.stored.test_fsck import SMALL_SEGMENTS, TOPIC, command, fill, fsck
from compat_tests.support.gateway import Gateway
from compat_tests.wire.batches import parse
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import fetch

KAFKA_STORAGE_ERROR = 56


def _read(bootstrap: str, count: int) -> tuple[set[int], set[int]]:
    """Offsets that can be read one by one, and those that are refused as damaged."""
    found, refused = set(), set()
    with Connection(bootstrap) as wire:
        for offset in range(count):
            partition = fetch(wire, TOPIC, offset, partition_max_bytes=1)
            if partition.error_code:
                assert partition.error_code == KAFKA_STORAGE_ERROR
                refused.add(offset)
                continue
            (batch,) = parse(bytes(partition.records))
            assert batch.base_offset == offset
            assert b"%d" % offset * 1_000 in bytes(partition.records)
            found.add(offset)
    return found, refused


def test_a_damaged_folder_is_repaired(tmp_path: Path) -> None:
    data = str(tmp_path)
    with Gateway(data, mode="file", options=SMALL_SEGMENTS) as gateway:
        count = fill(gateway.bootstrap)
        code, _ = fsck(data)
        assert code == 0
        refused = command("fsck", "--data", data, "--repair", "--yes")
        assert refused.stdout.endswith("nothing to repair\n")
        gateway.kill()
    files = sorted((tmp_path / "logs" / "1").glob("*.seg"))
    body = bytearray(files[1].read_bytes())
    body[200] ^= 1
    files[1].write_bytes(body)
    with Gateway(data, mode="file", options=SMALL_SEGMENTS) as gateway:
        before = _read(gateway.bootstrap, count)
        assert before[0] | before[1] == set(range(count))
        assert len(before[1]) == 1
        held = command("fsck", "--data", data, "--repair", "--yes")
        assert held.returncode == 2
        assert "in use by another process" in held.stderr
        gateway.kill()
    planned = command("fsck", "--data", data, "--repair")
    assert planned.returncode == 1
    assert "  seal anew" in planned.stdout
    done = command("fsck", "--data", data, "--repair", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sealed anew" in done.stdout
    code, report = fsck(data)
    assert code == 0
    assert [(row["kind"], row["harmless"]) for row in report["findings"]] == [("lost", True)]
    with Gateway(data, mode="file", options=SMALL_SEGMENTS) as gateway:
        assert _read(gateway.bootstrap, count) == before
