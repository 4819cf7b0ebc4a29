"""Small requests that would make large state: Kafka's code for each, and room for others."""

import struct
from collections.abc import Callable

from compat_tests.siege import frames
from compat_tests.support.gateway import Gateway
from compat_tests.wire.connection import Connection
from compat_tests.wire.messages import create_topic

INVALID_GROUP_ID, INVALID_REQUEST, MEMBER_ID_REQUIRED = 24, 42, 79
PARTITIONS_COUNT = 9_000
MIB = 1 << 20


def code_of_join(connection: Connection, frame: bytes) -> int:
    """The error code of a JoinGroup answer of version 2 to 4."""
    connection.send_frame(frame)
    return int(struct.unpack_from(">h", connection.receive_frame(), 8)[0])


def codes_of_commit(connection: Connection, frame: bytes) -> set[int]:
    connection.send_frame(frame)
    answer = connection.receive_frame()
    rows = struct.iter_unpack(">ih", answer[-6 * PARTITIONS_COUNT :])
    return {code for _, code in rows}


def test_a_commit_is_bounded_by_the_batch_that_it_makes(
    victim: Gateway, dial: Callable[[], Connection], topic: str
) -> None:
    control = dial()
    create_topic(control, topic, partitions=PARTITIONS_COUNT)
    try:
        for group, code in (
            (b"g" * 32_700, INVALID_GROUP_ID),
            (b"g" * 1_024, 0),
            (b"short", 0),
        ):
            codes = codes_of_commit(control, frames.offset_commit(group, topic, PARTITIONS_COUNT))
            assert codes == {code}, len(group)
    finally:
        control.close()


def test_many_protocols_are_refused_and_few_are_not(dial: Callable[[], Connection]) -> None:
    control = dial()
    names = [b"p%07d" % number for number in range(200_000)]
    assert code_of_join(control, frames.join_group("many", names)) == INVALID_REQUEST
    few = frames.join_group("many", names[:3], version=4)
    assert code_of_join(control, few) == MEMBER_ID_REQUIRED


def test_large_members_leave_room_for_others(dial: Callable[[], Connection]) -> None:
    """As many with four megabytes each as there is memory for members."""
    for number in range(64):
        frame = frames.join_group(f"large-{number}", [b"range"], metadata=bytes(4 * MIB - 1_000))
        dial().send_frame(frame)
    assert code_of_join(dial(), frames.join_group("small", [b"range"])) == 0
