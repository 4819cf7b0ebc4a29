"""Which disk a logstore is: drawn once, of one cluster, and no answer where it cannot be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from wal_core.errors import Corrupt, Invalid
from wal_core.format.logstore_records import Identity
from wal_core.logstore.identity import BOUND_NAME, NAME, load_identity, write_cluster
from wal_core.logstore.tests.logstores import logstore

DISK = bytes(range(16))


def test_it_is_drawn_once(tmp_path: Path):
    assert load_identity(tmp_path, DISK) == Identity(DISK, "")
    assert load_identity(tmp_path, bytes(16)) == Identity(DISK, "")
    write_cluster(tmp_path, Identity(DISK, "c"))
    assert load_identity(tmp_path, bytes(16)) == Identity(DISK, "c")
    assert {path.name for path in tmp_path.iterdir()} == {NAME, BOUND_NAME}


@pytest.mark.parametrize("name", [NAME, BOUND_NAME])
def test_who_cannot_tell_who_it_is_does_not_answer(tmp_path: Path, name: str):
    load_identity(tmp_path, DISK)
    write_cluster(tmp_path, Identity(DISK, "c"))
    if name == NAME:
        (tmp_path / BOUND_NAME).unlink()
    content = bytearray((tmp_path / name).read_bytes())
    content[8] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Corrupt, match=name):
        load_identity(tmp_path, bytes(16))


async def test_a_logstore_is_the_same_after_a_restart_and_of_one_cluster(tmp_path: Path):
    store = logstore(tmp_path)
    await store.open()
    drawn = store.identity
    assert drawn.disk != bytes(16)
    await store.belong_to("c")
    await store.belong_to("c")
    with pytest.raises(Invalid, match="belongs to cluster c"):
        await store.belong_to("d")
    await store.close()
    again = logstore(tmp_path, seed=2)
    await again.open()
    assert again.identity == Identity(drawn.disk, "c")
    await again.close()
