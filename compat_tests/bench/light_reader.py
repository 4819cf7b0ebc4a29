"""A reader that takes next to nothing of the processors: `reader.c`, and what it saw."""

from __future__ import annotations

import json
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from compat_tests.bench.sender import built
from compat_tests.bench.sides import Side
from compat_tests.wire.connection import frame_of, framed
from compat_tests.wire.messages import fetch_request

SOURCE = Path(__file__).with_name("reader.c")
FETCH_VERSION = 11  # the newest without compact fields, and that of most clients of librdkafka
PARTITION_BYTES_MAX = 1 << 20  # as this, the longest wait and the least bytes are for librdkafka
WAIT_MAX_MS = 500
_OFFSET_MARK = 0x0123456789ABCDEF


class Read(NamedTuple):
    """Passes are seconds that each reading from the beginning to the end took."""

    records: int
    seconds: float
    cpu_s: float
    requests: int
    passes_s: list[float]

    def figures(self, count: int) -> dict[str, float]:
        """Of a topic of so many records: the first reading tells of what was in no cache."""
        found = {
            "read_records_per_s": self.records / self.seconds,
            "reader_cpu_share": self.cpu_s / self.seconds,
        }
        if self.passes_s:
            found["first_read_records_per_s"] = count / self.passes_s[0]
        return found


@contextmanager
def reading(side: Side, topic: str, count: int, passes: int = 0) -> Iterator[list[Read]]:
    """Its `count` records from the beginning, over and over until this is left, or so many times.
    It has begun when this is entered; afterwards the list holds what it saw. RuntimeError where it
    met with anything but these records, each once and in their order."""
    request = framed(frame_of(_request(topic), FETCH_VERSION, 1, "bench"))
    offset_at = request.index(struct.pack(">q", _OFFSET_MARK))
    (port,) = side.leaders(topic, 1)
    seen: list[Read] = []
    with tempfile.NamedTemporaryFile(prefix="reader-") as file:
        file.write(request)
        file.flush()
        words = (built(SOURCE), port, file.name, offset_at, count, passes)
        process = subprocess.Popen(
            [*map(str, words)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None and process.stdout is not None
        try:
            has_begun = process.stdout.readline() == "begun\n"
            if has_begun:
                yield seen
        finally:
            process.stdin.close()
            # Not `communicate`: it reads past the buffer that a line was read through, in which all
            # the rest already lies where the reader has ended by then.
            said = process.stdout.read()
            process.stdout.close()
            failed = process.wait()
        if failed or not has_begun:
            raise RuntimeError(f"{side.name}: a reader failed, see above")
        seen.append(Read(**json.loads(said)))


def _request(topic: str) -> object:
    return fetch_request(
        topic,
        {0: _OFFSET_MARK},
        max_wait_ms=WAIT_MAX_MS,
        min_bytes=1,
        partition_max_bytes=PARTITION_BYTES_MAX,
    )
