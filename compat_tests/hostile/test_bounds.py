"""Small requests that would make large state: Kafka's code for each, and room for others."""

from collections.abc import Callable

from compat_tests.support.gateway import Gateway
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import commit_request, create_topic, join_request

INVALID_GROUP_ID, INVALID_REQUEST, MEMBER_ID_REQUIRED = 24, 42, 79
PARTITIONS_COUNT = 9_000
MIB = 1 << 20


def test_a_commit_is_bounded_by_the_batch_that_it_makes(
    victim: Gateway, dial: Callable[[], Connection], topic: str
) -> None:
    control = dial()
    create_topic(control, topic, partitions=PARTITIONS_COUNT)
    try:
        for group, code in (
            ("g" * 32_700, INVALID_GROUP_ID),
            ("g" * 1_024, 0),
            ("short", 0),
        ):
            (answer,) = control.call(commit_request(group, topic, PARTITIONS_COUNT), 2).topics
            assert [p.error_code for p in answer.partitions] == [code] * PARTITIONS_COUNT
    finally:
        control.close()


def test_many_protocols_are_refused_and_few_are_not(dial: Callable[[], Connection]) -> None:
    control = dial()
    names = [f"p{number:07}" for number in range(200_000)]
    assert control.call(join_request("many", names), 3).error_code == INVALID_REQUEST
    assert control.call(join_request("many", names[:3]), 4).error_code == MEMBER_ID_REQUIRED


def test_large_members_leave_room_for_others(dial: Callable[[], Connection]) -> None:
    """As many with four megabytes each as there is memory for members."""
    for number in range(64):
        dial().send(join_request(f"large-{number}", metadata=bytes(4 * MIB - 1_000)), 3)
    assert dial().call(join_request("small"), 3).error_code == 0
