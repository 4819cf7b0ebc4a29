"""Logstores on disks, real and simulated, and blocks for them."""

from __future__ import annotations

from pathlib import Path

from wal_core.format.block import BlockIds, encode_entries
from wal_core.format.logstore_records import Final
from wal_core.logstore.logstore import Logstore
from wal_core.logstore.replica import Asker
from wal_core.stores.segments.file_writer import FileWriter, SystemFileOps
from wal_core.testing.faulty_files import ExecutorFileWriter
from wal_core.testing.seeds import Random
from wal_core.types import Entry

LOG = 3
NONCE_A, NONCE_B = b"a" * 16, b"b" * 16
FOOTER = b"a footer block"


def logstore(
    root: Path,
    *,
    writer: FileWriter | None = None,
    bytes_max: int = 1 << 20,
    seed: int = 1,
    **room: int,
) -> Logstore:
    writer = writer or ExecutorFileWriter(SystemFileOps())
    return Logstore(root, writer, _Rng(seed), bytes_max=bytes_max, **room)


class _Rng:
    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def random(self) -> float:
        return self._random.random()


def block(
    number: int,
    *,
    segment: int = 0,
    confirmed: int = 0,
    nonce: bytes = NONCE_A,
    payload: bytes = b"payload",
    log_id: int = LOG,
) -> bytes:
    ids = BlockIds(log_id, segment, number, 1, confirmed, nonce)
    return b"".join(encode_entries(ids, [Entry(1, number, 1, 1, 0, payload)]).pieces)


async def opened_by_a(store: Logstore) -> Asker:
    await store.open()
    return Asker(LOG, await store.join(LOG, 1, NONCE_A), 1, NONCE_A)


def final(asker: Asker, end: int, *, segment: int = 0, footer: bytes = FOOTER) -> Final:
    return Final(LOG, segment, asker.term, end, footer)
