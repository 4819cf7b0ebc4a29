"""A writer stands still at each step of a compaction while another one takes the log and compacts.

The manifest is the one act that counts: whoever is first commits it, the other one's work is
thrown away. What either acked stays where it was.
"""

import re

import pytest

from compat_tests.fights.fighter import PATIENT, SEGMENT_BYTES, Fight, Fighter
from compat_tests.fights.test_writers import MOMENTS, take_over
from compat_tests.support.deadline import wait_until

SEGMENTS_COUNT = 7  # more than are sealed at a time
MANY_SEGMENTS_COUNT = 80  # so many that old manifests are deleted
AT_ONCE = ("--garbage-grace-ms", "0ms")
STEPS = {
    "read": ("GET", r"/logs/1/"),
    "data": ("PUT", r"/sealed/1/.*/\d{6}$"),
    "index": ("PUT", r"/sealed/1/.*/index$"),
    "manifest": ("PUT", r"/manifests/1/"),
}


def large(number: int) -> bytes:
    return b"large %d " % number + b"x" * SEGMENT_BYTES


def fill(fighter: Fighter) -> list[bytes]:
    """Each value completes a segment."""
    values = [large(number) for number in range(SEGMENTS_COUNT)]
    for value in values:
        fighter.tell(value)
    return values


@pytest.mark.parametrize("name", ["arrives late", "is answered"])
def test_asleep_while_it_deletes(fight: Fight, name: str) -> None:
    """What it deletes is garbage for whoever has the log now, too."""
    first = fight.opened(*PATIENT, *AT_ONCE)
    moment = MOMENTS[name]
    hold = first.proxy.hold("DELETE", r"/logs/1/", after_effect=moment.after_effect)
    values = fill(first)
    second = take_over(fight, first, hold, moment)
    first.has_lost(b"too late")
    more = [value + b"again" for value in values]
    for value in more:
        second.tell(value)
    fight.check_for_ever(second, present=[*values, *more], absent=[b"too late"])


def test_a_block_that_arrives_after_its_segment_was_deleted(fight: Fight) -> None:
    """The successor's fence stays much longer than everything else in that segment."""
    first = fight.opened()
    hold = first.hold()
    first.say(b"held")
    hold.wait_reached()
    first.gateway.pause()
    second = fight.fighter(*PATIENT, *AT_ONCE).start()
    assert hold.request is not None
    segment = hold.request.key.rpartition("/")[0]
    deleted = second.proxy.hold("DELETE", re.escape(segment), after_effect=True)
    values = fill(second)
    deleted.wait_reached()
    deleted.release()
    hold.release()
    first.gateway.resume()
    first.has_lost(b"too late")
    fight.check_for_ever(second, present=values, absent=[b"held", b"too late"])


CASES = [("manifest", name) for name in MOMENTS]
CASES += [(step, "arrives late") for step in STEPS if step != "manifest"]


@pytest.mark.parametrize(("step", "name"), CASES)
def test_asleep_while_it_compacts(fight: Fight, step: str, name: str) -> None:
    first = fight.opened()
    (method, key), moment = STEPS[step], MOMENTS[name]
    hold = first.proxy.hold(method, key, after_effect=moment.after_effect)
    values = fill(first)
    second = take_over(fight, first, hold, moment)
    first.has_lost(b"too late")
    sealing = second.proxy.hold("PUT", STEPS["manifest"][1], after_effect=True)
    more = [value + b"again" for value in values]
    for value in more:
        second.tell(value)
    sealing.wait_reached()  # what it seals may be what the first one had begun to seal
    sealing.release()
    fight.check_for_ever(second, present=[*values, *more], absent=[b"too late"])


# Sealed segments are listed twice: before the log is taken, and behind that, for what to delete.
@pytest.mark.parametrize(("step", "skip_count"), [("PUT /manifests/1/", 0), ("LIST /sealed/1/", 1)])
def test_an_opener_asleep_for_ages(fight: Fight, step: str, skip_count: int) -> None:
    """Meanwhile so much was sealed that the manifest it wants to create was there, and is deleted
    by now. It neither owns the log nor deletes what it has never heard of.
    """
    first = fight.opened()
    fill(first)
    sleeper = fight.fighter()
    hold = sleeper.proxy.hold(*step.split(" "), skip_count=skip_count)
    sleeper.gateway.spawn()
    hold.wait_reached()
    sleeper.gateway.pause()
    owner = fight.fighter().start()
    first.has_lost(b"too late")
    values = [large(number) for number in range(100, 100 + MANY_SEGMENTS_COUNT)]
    pruned = owner.proxy.hold("DELETE", r"/manifests/1/0*8$", after_effect=True)
    for value in values:
        owner.tell(value)
    pruned.wait_reached()
    pruned.release()
    hold.release()
    sleeper.gateway.resume()
    wait_until(lambda: sleeper.gateway.ready or not sleeper.gateway.running, what="its decision")
    sleeper.has_lost(b"far too late")
    fight.check_for_ever(owner, present=values, absent=[b"too late", b"far too late"])
