"""A writer stands still at each step of append and roll while another one takes the log over.

A record that reached the store before the successor's fence is part of the log, and its ack may
come as late as it likes; one that did not is never acked and never seen.
"""

from typing import NamedTuple

import pytest

from compat_tests.fights.fighter import SEGMENT_BYTES, Fight, Fighter
from compat_tests.proxies.rules import Hold

LARGE = b"large" * (SEGMENT_BYTES // 5)


class Moment(NamedTuple):
    """Where the held request is while its sender sleeps, and what becomes of it."""

    after_effect: bool
    decided_before: bool  # before the other one comes
    lost: bool  # the request, or its answer

    @property
    def stored(self) -> bool:
        return self.after_effect or (self.decided_before and not self.lost)

    def decide(self, hold: Hold) -> None:
        if self.lost:
            hold.drop()
        else:
            hold.release()


MOMENTS = {
    "arrives late": Moment(False, False, False),
    "arrives in time": Moment(False, True, False),
    "is lost": Moment(False, True, True),
    "is answered": Moment(True, False, False),
    "is answered to nobody": Moment(True, True, True),
}
moments = pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())


def take_over(fight: Fight, first: Fighter, hold: Hold, moment: Moment) -> Fighter:
    """The first one sleeps with a request under way; somebody else comes and writes."""
    hold.wait_reached()
    first.gateway.pause()
    if moment.decided_before:
        moment.decide(hold)
    second = fight.fighter().start()
    second.tell(b"second's word")
    if not moment.decided_before:
        moment.decide(hold)
    first.gateway.resume()
    return second


@moments
def test_asleep_in_an_append(fight: Fight, moment: Moment) -> None:
    first = fight.opened()
    hold = first.hold(after_effect=moment.after_effect)
    first.say(b"held")
    hold.wait_reached()
    behind = first.hold(after_effect=True)
    first.say(b"behind")
    behind.wait_reached()  # stored, and beyond a gap if the one before it is not
    behind.release()
    assert not {b"held", b"behind"} & set(first.acks), "nothing is acked before what precedes it"
    second = take_over(fight, first, hold, moment)
    first.has_lost(b"too late")
    there, gone = ([b"held", b"behind"], []) if moment.stored else ([], [b"held", b"behind"])
    fight.check_for_ever(second, present=there, absent=[*gone, b"too late"])


@moments
def test_asleep_while_it_completes_a_segment(fight: Fight, moment: Moment) -> None:
    first = fight.opened()
    data = first.hold(after_effect=True)
    first.say(LARGE)
    data.wait_reached()
    hold = first.hold(after_effect=moment.after_effect)
    data.release()
    second = take_over(fight, first, hold, moment)
    first.has_lost(b"too late")
    fight.check_for_ever(second, present=[LARGE], absent=[b"too late"])


@moments
def test_asleep_in_the_first_block_of_the_next_segment(fight: Fight, moment: Moment) -> None:
    first = fight.opened()
    footer = first.proxy.hold("PUT", "logs/", skip_count=1, after_effect=True)
    first.say(LARGE)
    footer.wait_reached()
    hold = first.hold(after_effect=moment.after_effect)
    footer.release()
    first.say(b"held")
    second = take_over(fight, first, hold, moment)
    first.has_lost(b"too late")
    there, gone = ([b"held"], []) if moment.stored else ([], [b"held"])
    fight.check_for_ever(second, present=[LARGE, *there], absent=[*gone, b"too late"])


@pytest.mark.parametrize("winner", ["writer", "opener"])
@pytest.mark.parametrize("step", ["append", "complete", "next segment"])
def test_a_block_and_a_fence_race_for_one_slot(fight: Fight, step: str, winner: str) -> None:
    """Both are on the way to the same slot; completion and fence exclude each other like that."""
    first = fight.opened()
    if step == "append":
        block = first.hold()
        first.say(b"held")
    else:
        before = first.proxy.hold(
            "PUT", "logs/", skip_count=int(step == "next segment"), after_effect=True
        )
        first.say(LARGE)
        before.wait_reached()
        block = first.hold()
        before.release()
        if step == "next segment":
            first.say(b"held")
    block.wait_reached()
    second = fight.fighter()
    fence = second.hold()
    second.gateway.spawn()
    fence.wait_reached()
    assert block.request == fence.request, "they want the same slot"
    for hold in (block, fence) if winner == "writer" else (fence, block):
        hold.release()
    second.gateway.wait_ready()
    second.tell(b"second's word")
    first.has_lost(b"too late")
    held = [b"held"] if step != "complete" else []
    there, gone = (held, []) if winner == "writer" else ([], held)
    fight.check_for_ever(second, present=there, absent=[*gone, b"too late"])


@pytest.mark.parametrize("taken_over", [False, True])
def test_its_own_put_is_recognised_after_a_time_out(fight: Fight, taken_over: bool) -> None:
    """Also when somebody else has the log by then: the record is in it, at that offset."""
    first = fight.opened("--store-timeout-ms", "1s")
    unanswered = first.hold(after_effect=True)
    first.say(b"once")
    unanswered.wait_reached()
    again = first.hold()
    again.wait_reached()
    assert again.request == unanswered.request
    owner = first
    if taken_over:
        first.gateway.pause()
        owner = fight.fighter().start()
        owner.tell(b"second's word")
        first.gateway.resume()
    again.release()
    first.wait_acked(b"once")
    if taken_over:
        first.has_lost(b"too late")
    fight.check_for_ever(owner, present=[b"once"], absent=[b"too late"])
