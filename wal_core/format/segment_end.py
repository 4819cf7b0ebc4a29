"""Where a segment of objects ends: which slots count, though some may be lost or damaged.

Slots are filled densely, so the first free one is the end, unless a later block says that a block
there was durable: then that one is lost, and the end lies behind. Knows slots and headers; reading
them is the caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection

from wal_core.format.block import FOOTER_KINDS, BlockHeader

HeadOf = Callable[[int], Awaitable[BlockHeader | None]]
"""The header of what is in a slot, not verified; None for what is no block."""

_SLOT_DIGITS_COUNT = 10
_HEADS_MAX_COUNT = 64


async def end_of(slots: Collection[int], first: int, head: HeadOf) -> int:
    """The first slot from `first` on that never held a block that counts. Costs nothing where no
    slot before a filled one is free."""
    end = first
    while end in slots:
        end += 1
    behind = sorted(number for number in slots if number > end)
    # What is behind was in flight at most, unless it says otherwise; the newest know most.
    for at in range(len(behind), 0, -_HEADS_MAX_COUNT):
        numbers = behind[max(at - _HEADS_MAX_COUNT, 0) : at]
        heads = await asyncio.gather(*map(head, numbers))
        known = [_durable_count(*pair) for pair in zip(heads, numbers, strict=True)]
        if max(known) > end:
            end = max(known)
            while end in slots:
                end += 1
            return end
        if any(heads):
            break
    return end


async def is_footer(slot: int, last: int, head: HeadOf, *, finished: bool) -> bool:
    """Whether what cannot be read in a slot was the footer. `last` is the last slot before the end,
    `finished` says that there was one."""
    found = await head(slot)
    if found is None and not finished:
        return False
    if found is not None and found.kind not in FOOTER_KINDS:
        return False
    return slot == last or _durable_count(await head(last), last) <= slot


def _durable_count(head: BlockHeader | None, slot: int) -> int:
    """As a header says, if it belongs there."""
    if head is None or not head.durable_count <= head.block == slot:
        return 0
    return head.durable_count


def slot_number(key: str) -> int:
    """Of a block, from its key; -1 when that is none of a block."""
    name = key.rpartition("/")[2]
    right = len(name) == _SLOT_DIGITS_COUNT and name.isascii() and name.isdigit()
    return int(name) if right else -1
