"""Which finished segments are compacted next. A pure function of the chain, of what is dead and of
what is small.

Three reasons, in this order: enough completed segments for a sealed one, or one of many small
blocks; links that are mostly dead; many small sealed segments side by side. The last keeps a chain
short for ever: a sealed segment of level n stands for about `merge_count` to the n segments, there
are fewer than `merge_count` of each level, and merging only rewrites indexes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from wal_core.config import LogConfig
from wal_core.format.chain import Completed, Link, Sealed

UNSEALED_COUNT = 2
_LEVELS_MAX = 16


def next_run(
    links: Sequence[Link],
    dead: Collection[Link],
    small: Collection[Link],
    config: LogConfig,
    *,
    uploads: bool = False,
) -> Sequence[Link] | None:
    """Neighbouring links to become one sealed segment, None when there is nothing to do.

    `dead` names links that are mostly dead, `small` completed ones of many small blocks. The newest
    completed segments never take part: the footer of the newest holds the checkpoint that a start
    needs, that of the one before is there in case it is damaged. Where segments are sealed to be
    uploaded all of them do, at once, and what a start needs is in the index.
    """
    completed = [link for link in links if isinstance(link, Completed)]
    if not uploads:
        completed = completed[:-UNSEALED_COUNT]
    is_urgent = any(link in dead or link in small for link in completed)
    enough_count = 1 if uploads else config.seal_segments_min_count
    if len(completed) >= enough_count or is_urgent:
        return completed[: config.seal_segments_max_count]
    sealed = [link for link in links if isinstance(link, Sealed)]
    for link in sealed:
        if link in dead:
            return [link]
    for level in range(_LEVELS_MAX):
        run = _merge(sealed, level, config)
        if run is not None:
            return run
    return None


def _merge(sealed: Sequence[Sealed], level: int, config: LogConfig) -> Sequence[Link] | None:
    """The first `merge_count` neighbours up to a level whose index, merged, is not too large."""
    run: list[Sealed] = []
    for link in sealed:
        if _level(link, config) > level or link.index_bytes * 2 > config.index_bytes_max:
            run = []
            continue
        run.append(link)
        if len(run) >= config.merge_count:
            while len(run) > 1 and sum(one.index_bytes for one in run) > config.index_bytes_max:
                run.pop()
            return run if len(run) > 1 else None
    return None


def _level(link: Sealed, config: LogConfig) -> int:
    level, count = 0, link.last - link.first + 1
    while count >= config.merge_count:
        level, count = level + 1, count // config.merge_count
    return level
