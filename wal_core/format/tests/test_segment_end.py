"""Where a segment of objects ends, as slots and headers tell it."""

from __future__ import annotations

import pytest

from wal_core.format.block import BlockHeader, BlockKind
from wal_core.format.segment_end import end_of, is_footer, slot_number


def header(block: int, durable_count: int = 0, kind: BlockKind = BlockKind.DATA) -> BlockHeader:
    return BlockHeader(kind, 0, 1, 0, 1, block, durable_count, 0, 0, 0, bytes(16), 0)


class Slots(dict[int, BlockHeader | None]):
    """Filled slots; None: what is there is no block. Counts what is asked."""

    asked_count = 0

    async def head(self, slot: int) -> BlockHeader | None:
        self.asked_count += 1
        return self.get(slot)


def filled(*headers: BlockHeader) -> Slots:
    return Slots({head.block: head for head in headers})


async def test_the_end_is_the_first_free_slot_and_costs_no_read():
    slots = filled(header(0), header(1), header(2))
    assert await end_of(slots, 0, slots.head) == 3
    assert await end_of(slots, 3, slots.head) == 3
    assert await end_of({}, 0, slots.head) == 0
    assert slots.asked_count == 0


async def test_what_was_in_flight_behind_a_free_slot_does_not_count():
    slots = filled(header(0), header(2, durable_count=1), header(3, durable_count=1))
    assert await end_of(slots, 0, slots.head) == 1


async def test_a_later_block_knows_that_a_lost_one_was_durable():
    slots = filled(header(0), header(2, durable_count=1), header(3, durable_count=2))
    assert await end_of(slots, 0, slots.head) == 4  # slot 1 is lost, not free


async def test_headers_that_belong_elsewhere_say_nothing():
    wrong = Slots({0: header(0), 2: header(7, durable_count=2), 3: header(3, durable_count=9)})
    assert await end_of(wrong, 0, wrong.head) == 1


async def test_of_very_many_the_newest_are_asked_first():
    many = filled(header(0), *(header(n, durable_count=n) for n in range(2, 1_000)))
    assert await end_of(many, 0, many.head) == 1_000
    assert many.asked_count <= 64


@pytest.mark.parametrize(
    ("found", "finished", "expected"),
    [
        (None, False, False),  # a block that is lost is none
        (None, True, True),
        (header(2), True, False),
        (header(2, kind=BlockKind.COMPLETE), False, True),
        (header(2, kind=BlockKind.FENCE), False, True),
    ],
)
async def test_what_cannot_be_read_in_the_last_slot_may_have_been_the_footer(
    found: BlockHeader | None, finished: bool, expected: bool
):
    slots = Slots({2: found})
    assert await is_footer(2, 2, slots.head, finished=finished) is expected


async def test_before_blocks_that_knew_it_durable_it_was_none():
    footer = header(2, kind=BlockKind.FENCE)
    late = Slots({2: footer, 3: header(3, durable_count=2)})
    assert await is_footer(2, 3, late.head, finished=True)
    follows = Slots({2: footer, 3: header(3, durable_count=3)})
    assert not await is_footer(2, 3, follows.head, finished=True)


def test_the_number_of_a_slot_is_the_whole_name():
    assert slot_number("logs/1/00000000000000000004/0000000012") == 12
    for key in ("0000000012x", "logs/1/12", "logs/1/-000000012", "logs/1/٠٠٠٠٠٠٠٠١٢", ""):
        assert slot_number(key) == -1
