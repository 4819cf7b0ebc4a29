"""A lower term than one seen is void; a store that goes back, or is another one, is noticed."""

from gateway.cluster.coordination.base import Put, Snapshot
from gateway.cluster.coordination.records import OwnerRecord
from gateway.cluster.coordination.sight import Course, Sight
from gateway.cluster.coordination.static import StaticStore


def test_a_lower_term_is_void() -> None:
    sight = Sight()
    assert sight.holds(OwnerRecord(1, 1, "a", 5))
    assert sight.holds(OwnerRecord(1, 2, "b", 6))
    assert not sight.holds(OwnerRecord(1, 1, "a", 5))
    assert sight.holds(OwnerRecord(1, 2, "b", 6))
    assert not sight.holds(OwnerRecord(1, 3, "c", 6))
    assert sight.holds(OwnerRecord(2, 1, "a", 1))  # another log


def test_what_the_bucket_said_counts() -> None:
    sight = Sight()
    sight.saw_term(1, 9, "b")
    sight.saw_term(1, 3, "a")
    assert not sight.holds(OwnerRecord(1, 1, "a", 8))
    assert sight.holds(OwnerRecord(1, 2, "b", 9))


def test_a_store_that_goes_back_or_is_another_one_is_told_once() -> None:
    sight = Sight()
    courses = [sight.course(Snapshot(*at, ())) for at in [(1, 5), (1, 5), (1, 4), (1, 4), (2, 9)]]
    assert courses == [Course.ON, Course.ON, Course.BACK, Course.ON, Course.OTHER]


async def test_a_wiped_store_is_another_one() -> None:
    sight, store = Sight(), StaticStore(store_id=1)
    await store.transact([], [Put("/p", b"")])
    assert sight.course(await store.read("/")) is Course.ON
    assert sight.course(await StaticStore(store_id=2).read("/")) is Course.OTHER
