"""The client of tests and simulation notices what a connection must never do."""

from __future__ import annotations

import pytest

from gateway.testing.conversation import Conversation, Disorder, cut_frames
from gateway.tests.harness import batch_of, produce_request, virtual
from protocol import ApiKey, encode_response
from protocol.messages.heartbeat import HeartbeatRequest, HeartbeatResponse

HEARTBEAT = HeartbeatRequest(group_id="g", generation_id=1, member_id="m")


def reply(correlation_id: int) -> bytes:
    pieces = encode_response(ApiKey.HEARTBEAT, 4, correlation_id, HeartbeatResponse())
    return b"".join(pieces)[4:]


@virtual
async def test_a_reply_that_is_not_due_is_disorder() -> None:
    talk = Conversation()
    with pytest.raises(Disorder, match="nobody asked"):
        talk.told(reply(1))
    _, first = talk.ask(ApiKey.HEARTBEAT, 4, HEARTBEAT, "c")
    talk.ask(ApiKey.HEARTBEAT, 4, HEARTBEAT, "c")
    assert talk.told(reply(1))[0] is first
    with pytest.raises(Disorder, match="reply 3 where 2 was due"):
        talk.told(reply(3))


@virtual
async def test_a_produce_without_acks_is_owed_nothing() -> None:
    talk = Conversation()
    talk.ask(ApiKey.PRODUCE, 9, produce_request({("t", 0): batch_of(b"x")}, acks=0), None)
    _, second = talk.ask(ApiKey.HEARTBEAT, 4, HEARTBEAT, None)
    assert talk.told(reply(2))[0] is second


def test_frames_are_cut_off_the_front_as_far_as_they_have_come() -> None:
    whole = b"\0\0\0\3abc\0\0\0\0\0\0\0\2de"
    for end in range(len(whole) + 1):
        stream = bytearray(whole[:end])
        frames = cut_frames(stream)
        assert frames == [b"abc", b"", b"de"][: (end >= 7) + (end >= 11) + (end >= 17)]
        assert b"".join(len(f).to_bytes(4, "big") + f for f in frames) + stream == whole[:end]
