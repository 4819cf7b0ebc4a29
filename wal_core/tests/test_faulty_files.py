"""The faulty disk itself: what a power cut leaves is what is there from then on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wal_core.testing.faulty_files import FaultyFileOps


@pytest.mark.parametrize("seed", range(20))
def test_what_one_crash_has_left_no_other_changes(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "file"
    ops = FaultyFileOps(seed, direct=False)
    fd, _ = ops.open(path)
    ops.pwrite_all(fd, [b"synced"], 0)
    ops.fdatasync(fd)  # the folder is not synced: the name may vanish
    ops.pwrite_all(fd, [b" and not"], 6)
    os.close(fd)
    ops.crash()
    left = path.read_bytes() if path.exists() else None
    for _ in range(10):
        ops.crash()
        assert (path.read_bytes() if path.exists() else None) == left
