"""The copy of a log: sealed segments as the newest manifest has them, then all behind them.

The source may be written, compacted and cleaned up meanwhile. What a manifest names stays for a
grace time after it was replaced; where the copy took longer, it goes on from the newest manifest,
and what it has already is not copied again. Nothing is locked or written at the source.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import NamedTuple

import msgspec

from wal_core.clock import Rng
from wal_core.config import LogConfig
from wal_core.copy.sealed import SEGMENTS_PREFIX, SealedCopier
from wal_core.copy.target import finish_target
from wal_core.copy.window import Window
from wal_core.errors import Corrupt, Unavailable
from wal_core.format.block import NONCE_BYTES, Block
from wal_core.format.chain import Sealed
from wal_core.format.places import Lost, Slot
from wal_core.stores.manifests import LOG_FOLDERS, Manifest, Manifests, manifest_key
from wal_core.stores.persistence import Persistence
from wal_core.stores.segments.base import SegmentStore

PATIENCE_S = 60
"""For so long a store that does not answer is asked again."""
_ATTEMPTS_MAX_COUNT = 20
"""So often the source may have moved on under the copy."""


class CopyReport(NamedTuple):
    """What there is at the target now."""

    segments_count: int  # behind the sealed ones
    sealed_count: int
    copied_bytes: int  # by this run, what earlier attempts left there not included
    attempts_count: int


async def copy_log(
    source: SegmentStore,
    target: SegmentStore,
    config: LogConfig,
    rng: Rng,
    *,
    told: Callable[[str], None] = lambda text: None,
    is_last: bool = True,
) -> CopyReport:
    """Copy a whole log to a target from `open_to_copy`; with the last one that is made usable.

    Every record that was confirmed before the call is in the copy. `told` hears a line per part.
    Raises Corrupt when what is stored at the source is damaged, Unavailable when a store does not
    answer for a minute or the source changes faster than it can be read.
    """
    persist = Persistence(config, rng, patience_s=PATIENCE_S)
    manifests = Manifests(source.objects, config.log_id, persist, b"")
    copier = SealedCopier(source.objects, target.objects, config, persist)
    for attempt in range(1, _ATTEMPTS_MAX_COUNT + 1):
        manifest = await manifests.newest()
        segments = await persist(partial(source.segments, config.log_id, manifest.covered))
        if (await manifests.newest()).covered > manifest.covered:
            continue  # some may have gone before they were listed
        copying = _Attempt(source, target, config, persist, copier=copier, told=told)
        try:
            await copying.run(manifest, segments)
        except Corrupt as error:
            if (await manifests.newest()).number == manifest.number:
                raise
            told(f"the log has moved on meanwhile: {error}")
            continue
        if copying.may_be_cut(await manifests.newest()):
            told("the log has moved on meanwhile: its last segment was sealed")
            continue
        nonce = rng.random_bytes(NONCE_BYTES)
        await copying.finish(manifest, Manifests(target.objects, config.log_id, persist, nonce))
        if is_last:
            await persist(lambda: finish_target(target.objects, target.mode))
        return CopyReport(len(copying.segments), len(manifest.sealed), copier.copied_bytes, attempt)
    raise Unavailable(f"{source.location} changes faster than it can be copied")


class _Attempt:
    """One pass over the source, based on one manifest."""

    def __init__(
        self,
        source: SegmentStore,
        target: SegmentStore,
        config: LogConfig,
        persist: Persistence,
        *,
        copier: SealedCopier,
        told: Callable[[str], None],
    ) -> None:
        self._source = source
        self._target = target
        self._log_id = config.log_id
        self._persist = persist
        self._copier = copier
        self._told = told
        self._same_mode = source.mode == target.mode
        self._there: dict[str, int] = {}  # at the target, before this attempt
        self._kept: set[str] = set()  # what belongs to the copy
        self._sealed: list[Sealed] = []  # as the target's manifest will have them
        self.segments: list[int] = []
        self._unfinished: int | None = None

    async def run(self, manifest: Manifest, segments: Sequence[int]) -> None:
        """`segments` are all behind the sealed ones of the manifest."""
        target = self._target
        await target.unlock(self._log_id)
        await target.lock(self._log_id)  # also: no file of an earlier attempt is open any more
        rows = await self._persist(lambda: target.objects.list(""))
        self._there = {row.key: row.size_bytes for row in rows}
        for number, sealed in enumerate(manifest.sealed, 1):
            await self._copy_sealed(sealed)
            self._told(f"sealed segment {number} of {len(manifest.sealed)}")
        self._told(f"segments that are not sealed: {len(segments)}")
        for segment in segments:
            if self._unfinished is not None:
                raise Corrupt("a finished segment has no footer", segment=self._unfinished)
            await self._copy_segment(segment)

    # -- sealed segments -------------------------------------------------------------------

    async def _copy_sealed(self, sealed: Sealed) -> None:
        block, index = await self._copier.read(sealed)
        outside = {row.key for row in index.objects if row.key.startswith(SEGMENTS_PREFIX)}
        whole_files = self._same_mode and self._source.segment_is_one_object
        if whole_files:
            for segment in sorted(map(_segment_of, outside)):
                await self._copy_whole_file(segment)
        async with Window() as window:
            for row in index.objects:
                if row.key in outside and (whole_files or not self._same_mode):
                    continue
                self._kept.add(row.key)
                if self._there.get(row.key) != row.size_bytes:
                    await window.start(self._copier.copy_object(row.key), row.size_bytes)
        self._kept.add(sealed.index)
        if outside and not self._same_mode:
            sealed, keys = await self._copier.moved(sealed, block, index)
            self._kept |= keys
        elif self._there.get(sealed.index) != sealed.index_bytes:
            await self._copier.create(sealed.index, [block.buffer])
        self._sealed.append(sealed)

    # -- segments --------------------------------------------------------------------------

    async def _copy_segment(self, segment: int) -> None:
        """Its blocks up to the footer, or as far as they go in the last one."""
        self.segments.append(segment)
        if not await self._copy_blocks(segment):
            self._unfinished = segment

    async def _copy_whole_file(self, segment: int) -> None:
        if not await self._copy_blocks(segment):
            raise Corrupt(f"segment {segment} has no footer although it is sealed", segment=segment)

    async def _copy_blocks(self, segment: int) -> bool:
        """Whether the footer was among them."""
        log_id, target = self._log_id, self._target
        if target.segment_is_one_object:
            await self._persist(lambda: target.delete_segment(log_id, segment))
        # A file's footer is read first: what is found without one is a prefix, whatever comes.
        footer = None
        if self._source.segment_is_one_object:
            footer = await self._persist(lambda: self._source.read_footer(log_id, segment))
        position, is_whole = 0, False
        recovering = self._source.recover_segment(log_id, segment, self._persist, cut=False)
        number = 0
        async with Window() as window, aclosing(recovering) as blocks:  # type: ignore[type-var]
            async for block in blocks:
                if isinstance(block, Lost):
                    raise Corrupt(f"block {block.block}: {block.text}", segment=segment)
                slot = Slot(log_id, segment, number, position)
                self._kept.add(target.place(slot, None).key)
                await window.start(self._append(slot, block), len(block.buffer))
                number, position = number + 1, position + len(block.buffer)
                is_whole = block.is_footer
        if footer is not None:
            if footer.header.block != number:
                raise Corrupt(f"block {number} is missing or damaged", segment=segment)
            await self._append(Slot(log_id, segment, number, position), footer)
            is_whole = True
        return is_whole

    async def _append(self, slot: Slot, block: Block) -> None:
        append = partial(self._target.append, slot, [block.buffer], final=block.is_footer)
        await self._persist(append)
        self._copier.copied_bytes += len(block.buffer)

    # -- the end ---------------------------------------------------------------------------

    def may_be_cut(self, newest: Manifest) -> bool:
        """Whether the last segment may have been deleted while it was read, or before: it was
        sealed since, and its end was not seen.
        """
        return self._unfinished is not None and newest.covered >= self._unfinished

    async def finish(self, manifest: Manifest, manifests: Manifests) -> None:
        """Remove what only an earlier attempt needed, and say what belongs to it."""
        objects = self._target.objects
        if manifest.number >= 0:
            key = manifest_key(self._log_id, manifest.number)
            self._kept.add(key)
            if key not in self._there:
                await manifests.commit(
                    msgspec.structs.replace(
                        manifest, sealed=self._sealed, garbage=[], swept=manifest.number
                    )
                )
        rest = [
            key
            for key in self._there
            if key not in self._kept
            and key.startswith(tuple(f"{f}/{self._log_id}/" for f in LOG_FOLDERS))
            and not key.endswith("/lock")
        ]
        if rest:
            await self._persist(lambda: objects.delete(*rest))
        await self._target.unlock(self._log_id)


def _segment_of(key: str) -> int:
    """Of a segment's file."""
    return int(key.rpartition("/")[2].partition(".")[0])
