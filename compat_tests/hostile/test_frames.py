"""Random, truncated and mutated frames, thousands of them, over real sockets.

Whatever comes back is fine, or nothing; the fixture checks that the process lives, answers others
and does not grow. Examples are drawn the same way in every run.
"""

import struct
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compat_tests.support.gateway import Gateway
from compat_tests.wire.connection import Connection, frame_of
from compat_tests.wire.requests import BUILDERS, FLOORS

EXAMPLES_COUNT = 2_000
ANSWER_TIMEOUT_S = 0.05
EXTREMES = [
    struct.pack(">i", value) for value in (0x7FFFFFFF, -1, -0x80000000, 0, 1_000_000, 100_000_000)
] + [b"\xff\xff", b"\x7f\xff", b"\x00", b"\xff\xff\xff\xff\x0f", b"\xff" * 10, b"\x80" * 12]

frames_setting = settings(
    max_examples=EXAMPLES_COUNT,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def valid_frames() -> list[bytes]:
    """A request of every API in its lowest and highest version."""
    frames = []
    for key, make in BUILDERS.items():
        highest = make(0, "target", UUID(int=0)).max_version
        for version in {FLOORS.get(key, 0), min(highest, 9), highest}:
            request = make(version, "target", UUID(int=0))
            frames.append(frame_of(request, version))
    return frames


def throw(victim: Gateway, frame: bytes) -> None:
    """Sends it, ends the sending side and reads what comes for a moment."""
    with Connection(victim.bootstrap, timeout_s=ANSWER_TIMEOUT_S) as connection:
        try:
            connection.send_frame(frame)
            connection.socket.shutdown(1)
            while connection.socket.recv(1 << 16):
                pass
        except OSError:
            pass


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    frame = bytearray(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(frame) - 1)))
        match draw(st.sampled_from(["flip", "cut", "insert", "remove", "extreme", "repeat"])):
            case "flip":
                frame[at : at + 1] = bytes([draw(st.integers(0, 255))])
            case "cut":
                del frame[at:]
            case "insert":
                frame[at:at] = draw(st.binary(max_size=20))
            case "remove":
                del frame[at : at + draw(st.integers(1, 8))]
            case "extreme":
                value = draw(st.sampled_from(EXTREMES))
                frame[at : at + len(value)] = value
            case "repeat":
                frame[at:at] = frame[at:] * draw(st.integers(1, 3))
    return bytes(frame)


VALID = valid_frames()


@pytest.mark.timeout(300)
@frames_setting
@given(frame=st.binary(max_size=300))
def test_random_bytes(victim: Gateway, frame: bytes) -> None:
    throw(victim, frame)


@pytest.mark.timeout(300)
@frames_setting
@given(
    key=st.sampled_from(sorted(BUILDERS)),
    version=st.integers(0, 18),
    body=st.binary(max_size=200),
)
def test_random_bodies(victim: Gateway, key: int, version: int, body: bytes) -> None:
    throw(victim, struct.pack(">hhih", key, version, 1, -1) + b"\x00" + body)


@pytest.mark.timeout(300)
@frames_setting
@given(frame=mutated())
def test_mutated_requests(victim: Gateway, frame: bytes) -> None:
    throw(victim, frame)


@pytest.mark.timeout(120)
def test_every_prefix_of_every_request(victim: Gateway) -> None:
    """Cut at every eighth byte and at each of the last twelve."""
    for frame in VALID:
        for length in sorted({*range(0, len(frame), 8), *range(len(frame) - 12, len(frame))}):
            throw(victim, frame[: max(0, length)])


@pytest.mark.timeout(120)
def test_every_field_with_extreme_values(victim: Gateway) -> None:
    for frame in VALID:
        for at in range(8, len(frame), 5):
            for extreme in EXTREMES[:3]:
                throw(victim, frame[:at] + extreme + frame[at + len(extreme) :])


@pytest.mark.parametrize("length", [0x7FFFFFFF, -1, -0x80000000, 200 << 20])
def test_lengths_no_frame_can_have(dial: Callable[[], Connection], length: int) -> None:
    offender = dial()
    offender.send_raw(struct.pack(">i", length) + b"\x00" * 20)
    assert offender.closed_by_broker()


@pytest.mark.parametrize("length", [0, 1, 7])
def test_frames_too_short_for_a_header(dial: Callable[[], Connection], length: int) -> None:
    offender = dial()
    offender.send_frame(b"\x00" * length)
    assert offender.closed_by_broker()
