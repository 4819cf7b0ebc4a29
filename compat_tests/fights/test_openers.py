"""An opener stands still at each of its requests while another one opens the log and writes.

Awake again it either has lost, at once or with its first write, or it is the last opener, sees what
the other one acked, and owns the log. One of the two acks what comes next, never both.
"""

from itertools import count

import pytest

from compat_tests.fights.fighter import LOG, Fight, Fighter
from compat_tests.support.deadline import wait_until

STEPS_MIN_COUNT = 5  # a listing, footers, blocks, the fence


@pytest.mark.timeout(300)
@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
def test_asleep_at_every_step_of_an_opening(fight: Fight, after_effect: bool) -> None:
    owner = fight.opened()
    for step in count():
        sleeper = fight.fighter()
        hold = sleeper.proxy.hold("", LOG, after_effect=after_effect, skip_count=step)
        sleeper.gateway.spawn()
        wait_until(lambda: hold.reached or sleeper.gateway.ready, what="a request or the end")  # noqa: B023
        if not hold.reached:
            break
        print(f"step {step}: {hold.request}")
        sleeper.gateway.pause()
        rival = fight.fighter().start()
        rival.tell(b"rival's word %d" % step)
        owner.has_lost(b"too late %d" % step)
        hold.release()
        sleeper.gateway.resume()
        wait_until(
            lambda: sleeper.gateway.ready or not sleeper.gateway.running,  # noqa: B023
            what="the opener to open, or to see that it is late",
        )
        owner, loser = decide(sleeper, rival, step)
        loser.has_lost(b"lost %d" % step)
        fight.check_log(owner, present=[b"rival's word %d" % step])
    assert step >= STEPS_MIN_COUNT
    sleeper.proxy.forget_holds()  # it has opened with fewer requests, and now reads
    fight.check_for_ever(sleeper)


def decide(sleeper: Fighter, rival: Fighter, step: int) -> tuple[Fighter, Fighter]:
    """Winner and loser."""
    words = {fighter: b"%s at %d" % (fighter.name.encode(), step) for fighter in (sleeper, rival)}
    for fighter, word in words.items():
        try:
            fighter.say(word)
        except OSError:
            pass  # it has ended, or never listened
    wait_until(lambda: any(word in fighter.acks for fighter, word in words.items()), what="one ack")
    winner = sleeper if words[sleeper] in sleeper.acks else rival
    loser = rival if winner is sleeper else sleeper
    wait_until(lambda: not loser.gateway.running, what="the other one to end")
    assert words[loser] not in loser.acks
    return winner, loser
