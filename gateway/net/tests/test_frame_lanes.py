"""What frames that are not whole may hold, and who loses."""

import asyncio
from itertools import pairwise

from gateway.net.frame_lanes import (
    CHECK_S,
    LAG_S_MAX,
    LANE_SHARE,
    LET_GO_AT_ONCE_COUNT,
    LOOP_TURN_BYTES_MAX,
    ORDINARY_BYTES_MAX,
    RATE_BYTES_PER_S,
    RESUMED_AT_ONCE_COUNT,
    TURN_S_MAX,
    FrameLanes,
    IncomingFrame,
)
from gateway.tests.harness import virtual

KIB = 1024


class _Peer:
    """A connection as far as a lane knows one."""

    def __init__(self, lanes: FrameLanes) -> None:
        self.frame = IncomingFrame(lanes, self._resume, self._let_go)
        self.resumes_count = 0
        self.is_lost = False

    def _resume(self) -> None:
        self.resumes_count += 1
        if self.frame.may_go_on() and not self.frame.must_pause:
            self.frame.resumed()
        else:
            self.frame.wait()

    def _let_go(self, reason: str) -> None:
        self.is_lost = True
        self.frame.ended()

    def begin(self, have_bytes: int, length_bytes: int = 1000 * KIB) -> bool:
        self.frame.began(length_bytes)
        return self.bring(have_bytes)

    def bring(self, count_bytes: int) -> bool:
        self.frame.brought(count_bytes)
        return self._goes_on()

    def _goes_on(self) -> bool:
        if self.frame.may_go_on() and not self.frame.must_pause:
            return True
        self.frame.paused()
        self.frame.wait()
        return False


@virtual
async def test_a_full_lane_is_read_one_frame_at_a_time() -> None:
    lanes = FrameLanes(LANE_SHARE * 100 * KIB)
    first, second, third = (_Peer(lanes) for _ in range(3))
    assert first.begin(90 * KIB)
    assert second.begin(20 * KIB)  # which fills it, and so is the finisher
    assert not first.bring(1)
    assert not third.begin(1)
    assert second.bring(900 * KIB)
    assert not second.frame.is_late
    assert first.frame.is_late
    second.frame.ended()
    assert (first.resumes_count, third.resumes_count) == (1, 1)
    assert lanes.used_bytes == 90 * KIB + 2
    for peer in (first, third, third):
        peer.frame.ended()
    assert lanes.used_bytes == 0


@virtual
async def test_sizes_do_not_wait_for_each_other() -> None:
    lanes = FrameLanes(LANE_SHARE * 100 * KIB)
    bulky = [_Peer(lanes) for _ in range(5)]
    for peer in bulky:
        peer.begin(50 * KIB, ORDINARY_BYTES_MAX + 1)
    ordinary = _Peer(lanes)
    assert ordinary.begin(80 * KIB, ORDINARY_BYTES_MAX)
    assert ordinary.bring(19 * KIB)


@virtual
async def test_who_stalls_loses_when_others_wait_and_not_before() -> None:
    lanes = FrameLanes(LANE_SHARE * 100 * KIB)
    silent, greedy, waits = (_Peer(lanes) for _ in range(3))
    assert silent.begin(KIB)
    await asyncio.sleep(60)
    assert greedy.begin(150 * KIB)
    assert not silent.is_lost
    assert not waits.begin(1)
    for _ in range(40):
        await asyncio.sleep(0.1)
        greedy.bring(RATE_BYTES_PER_S // 10)
    assert silent.is_lost
    assert not greedy.is_lost
    assert not waits.is_lost  # it is not read: its silence is ours


@virtual
async def test_the_time_of_a_frame_does_not_begin_anew_with_each_pause() -> None:
    """Or a byte now and then would hold the memory for ever."""
    lanes = FrameLanes(LANE_SHARE * 100 * KIB)
    trickler, others = _Peer(lanes), []
    assert trickler.begin(KIB)
    for _ in range(20):
        others.append(_Peer(lanes))
        others[-1].begin(150 * KIB)
        if not trickler.is_lost:
            assert not trickler.bring(1)
        await asyncio.sleep(2 * CHECK_S)
        others[-1].frame.ended()
        await asyncio.sleep(CHECK_S / 2)
    assert trickler.is_lost
    assert not any(peer.is_lost for peer in others)


@virtual
async def test_a_turn_that_cannot_be_used_is_the_next_ones() -> None:
    lanes = FrameLanes(LANE_SHARE * 100 * KIB)
    first, second = _Peer(lanes), _Peer(lanes)
    assert first.begin(150 * KIB)
    assert not second.begin(1)
    first.frame.cannot_go_on()
    assert second.resumes_count == 1
    assert not first.frame.may_go_on()
    assert second.frame.may_go_on()


@virtual
async def test_nobody_waits_for_a_turn_for_ever() -> None:
    """Its client has given up, and may have gone: who is not read is not seen to go."""
    lanes = FrameLanes(LANE_SHARE * 100 * KIB)
    holder = _Peer(lanes)
    holder.begin(101 * KIB)
    crowd = [_Peer(lanes) for _ in range(3 * LET_GO_AT_ONCE_COUNT)]
    for peer in crowd:
        assert not peer.begin(1)
    for _ in range(int(TURN_S_MAX / CHECK_S) - 2):
        holder.frame.brought(int(RATE_BYTES_PER_S * CHECK_S))  # slow, but as fast as it must be
        await asyncio.sleep(CHECK_S)
    assert not any(peer.is_lost for peer in crowd)
    for _ in range(6):
        holder.frame.brought(int(RATE_BYTES_PER_S * CHECK_S))
        await asyncio.sleep(CHECK_S)
    assert all(peer.is_lost for peer in crowd)
    assert not holder.is_lost


def _resumed_count(peers: list[_Peer]) -> int:
    return sum(peer.resumes_count for peer in peers)


@virtual
async def test_room_for_a_crowd_does_not_take_a_turn_of_the_loop_as_long_as_the_crowd() -> None:
    lanes = FrameLanes(LANE_SHARE * 1000 * KIB)
    holders = [_Peer(lanes), _Peer(lanes)]
    for holder in holders:
        holder.begin(600 * KIB)
    crowd = [_Peer(lanes) for _ in range(10 * RESUMED_AT_ONCE_COUNT)]
    assert not any(peer.begin(1) for peer in crowd)
    for holder in holders:  # two that go in one turn make no more of it
        holder.frame.ended()
    for turn in range(1, 11):
        assert _resumed_count(crowd) == turn * RESUMED_AT_ONCE_COUNT
        await asyncio.sleep(0)
    assert all(peer.resumes_count == 1 for peer in crowd)
    await asyncio.sleep(0)
    assert not lanes.lane_of(1000 * KIB).waiting
    for peer in crowd:
        peer.frame.ended()
    assert lanes.used_bytes == 0


@virtual
async def test_what_comes_at_once_is_read_a_slice_in_each_turn_of_the_loop() -> None:
    lanes = FrameLanes(LANE_SHARE * 100 * LOOP_TURN_BYTES_MAX)
    crowd = [_Peer(lanes) for _ in range(40)]
    part_bytes = LOOP_TURN_BYTES_MAX // 4
    going_on = [peer for peer in crowd if peer.begin(part_bytes)]
    assert going_on == crowd[:3]  # the fourth has used it up
    assert crowd[3].frame.is_late
    await asyncio.sleep(0)
    assert _resumed_count(crowd) == RESUMED_AT_ONCE_COUNT
    assert [peer.bring(part_bytes) for peer in crowd[3:8]] == [True, True, True, False, False]
    await asyncio.sleep(0)
    assert _resumed_count(crowd) == 37 + 2
    assert all(peer.frame.waited_s() == 0 for peer in crowd)
    await asyncio.sleep(0)
    for peer in crowd:
        peer.frame.ended()
    assert lanes.used_bytes == 0


@virtual
async def test_the_finisher_is_not_held_by_what_others_bring_in_a_turn() -> None:
    lanes = FrameLanes(LANE_SHARE * LOOP_TURN_BYTES_MAX)
    others, finisher = [_Peer(lanes) for _ in range(3)], _Peer(lanes)
    for peer in others:
        peer.begin(LOOP_TURN_BYTES_MAX // 3)
    await asyncio.sleep(0)
    assert finisher.begin(KIB)
    for peer in others:
        assert not peer.bring(LOOP_TURN_BYTES_MAX)
    assert finisher.bring(LOOP_TURN_BYTES_MAX)
    assert not finisher.frame.is_late


@virtual
async def test_a_crowd_that_stalls_is_let_go_some_in_each_turn() -> None:
    lanes = FrameLanes(LANE_SHARE * 1000 * KIB)
    crowd = [_Peer(lanes) for _ in range(5 * LET_GO_AT_ONCE_COUNT)]
    for peer in crowd:
        assert peer.begin(KIB)
    await asyncio.sleep(LAG_S_MAX + CHECK_S)
    holder, waits = _Peer(lanes), _Peer(lanes)
    assert holder.begin(900 * KIB)
    assert not waits.begin(1)
    await asyncio.sleep(CHECK_S)
    lost_counts = [0]
    for _ in range(10):
        lost_counts.append(sum(peer.is_lost for peer in crowd))
        await asyncio.sleep(0)
    assert lost_counts[-1] == len(crowd)
    steps = [after - before for before, after in pairwise(lost_counts)]
    assert max(steps) == LET_GO_AT_ONCE_COUNT
    assert not holder.is_lost
