"""How far the bucket is behind: in seconds of the oldest record, and in bytes of all."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from wal_core.format.chain import Chain, Completed, Sealed
from wal_core.format.footer import BlockExtent, Footer, encode_footer_payload
from wal_core.state.contents import Contents
from wal_core.testing.sim_loop import run
from wal_core.upkeep.upload_lag import UploadLag


def lag_of(contents: Contents, writer: Any, *, uploads: bool = True) -> UploadLag:
    return UploadLag(cast("Any", SimpleNamespace(uploads=uploads)), contents, writer)


def footer(segment: int, *extents: BlockExtent) -> Footer:
    return Footer(2, segment, 1, encode_footer_payload(extents, [], [], b"", 0))


def sealed(last: int) -> Sealed:
    return Sealed(first=0, last=last, index="i", index_bytes=1, live_bytes=1)


def test_it_is_that_of_the_oldest_segment_and_the_bytes_of_all() -> None:
    async def main() -> None:
        contents, writer = Contents({}, Chain()), SimpleNamespace(segment_since_s=0.0)
        lag, without = lag_of(contents, writer), lag_of(contents, writer, uploads=False)
        assert lag.now() == (0, 0)
        contents.begin_segment().add_block(100, 50)
        await asyncio.sleep(3)
        assert lag.now() == (3, 100)
        contents.end_segment()
        lag.finished(footer(0, BlockExtent(0, 60, 30), BlockExtent(60, 40, 20)))
        writer.segment_since_s = 3.0
        contents.begin_segment().add_block(7, 5)
        await asyncio.sleep(2)
        assert lag.now() == (5, 107)
        assert without.now() == (0, 0)
        contents.chain.replace([Completed(0)], sealed(0))
        assert lag.now() == (2, 7)

    run(main)


def test_what_was_there_before_counts_from_the_opening_on() -> None:
    async def main() -> None:
        await asyncio.sleep(10)
        writer = SimpleNamespace(segment_since_s=0.0)
        lag = lag_of(Contents({}, Chain([sealed(0), Completed(1)])), writer)
        await asyncio.sleep(1)
        assert lag.now() == (1, 0)

    run(main)
