"""What can be measured: a table of all rows, by name."""

from __future__ import annotations

from collections.abc import Mapping

from compat_tests.bench.rounds import Row
from compat_tests.bench.rows import (
    beside,
    clients,
    consume,
    distant,
    partitions,
    produce,
    quorum,
    start,
)

ROWS: Mapping[str, Row] = {
    **produce.ROWS,
    **clients.ROWS,
    **consume.ROWS,
    **partitions.ROWS,
    **start.ROWS,
    **beside.ROWS,
    **distant.ROWS,
    **quorum.ROWS,
}
