"""Against a set."""

from hypothesis import given
from hypothesis import strategies as st

from wal_core.write.id_ranges import IdRanges


@given(st.lists(st.integers(0, 30)))
def test_it_is_a_set_whose_size_is_that_of_its_gaps(numbers):
    ranges, known = IdRanges(), set()
    for number in numbers:
        ranges.add(number)
        known.add(number)
        assert [n in ranges for n in range(-1, 32)] == [n in known for n in range(-1, 32)]
        assert len(ranges) == sum(n - 1 not in known for n in known)
