"""Frames come back however the stream is cut; damage to what has no CRC of its own is told."""

from __future__ import annotations

import pytest

from wal_core.errors import Corrupt, Invalid
from wal_core.logstore import frames
from wal_core.logstore.frames import (
    BUFFER_BYTES,
    FRAME_BYTES_MAX,
    FrameReceiver,
    encode_frame,
    parse_frame,
)
from wal_core.testing.seeds import stream

SAID = [
    (b"head", b""),
    (b"h" * 300, b"body"),
    (b"", b"b" * 100_000),
    (b"large", b"l" * (2 * BUFFER_BYTES)),
    (b"last", b"x"),
]
SENT = b"".join(b"".join(encode_frame(head, [body])) for head, body in SAID)


def received(sent: bytes, sizes) -> list[tuple[bytes, bytes]]:
    receiver = FrameReceiver()
    found = []
    at = 0
    while at < len(sent):
        room = receiver.room()
        count = min(next(sizes), len(room), len(sent) - at)
        room[:count] = sent[at : at + count]
        at += count
        found += [(bytes(f.head), bytes(f.body)) for f in receiver.received(count)]
        assert receiver.is_within_frame or not receiver.awaited_bytes
        if receiver.awaited_bytes:
            receiver.receive_large()
    assert not receiver.is_within_frame
    return found


@pytest.mark.parametrize("seed", range(10))
def test_frames_come_back_however_the_stream_is_cut(seed: int):
    rng = stream(seed, "cuts")
    most = rng.choice([40, 1_000, 1_000_000])

    def sizes():
        while True:
            yield rng.randint(1, most)

    assert received(SENT, sizes()) == SAID


def test_a_frame_keeps_its_bytes_while_others_come():
    receiver = FrameReceiver()
    kept = []
    for number in range(3):
        sent = b"".join(encode_frame(b"%d" % number, [bytes([number]) * 90_000]))
        receiver.room()[: len(sent)] = sent
        kept += receiver.received(len(sent))
    assert [bytes(frame.head) for frame in kept] == [b"0", b"1", b"2"]
    assert [frame.body[0] for frame in kept] == [0, 1, 2]


def test_damage_is_told_but_of_the_body():
    sent = b"".join(encode_frame(b"head", [b"body"]))
    assert parse_frame(sent).total_bytes == len(sent)
    for at in range(len(sent) - 4):
        damaged = bytearray(sent)
        damaged[at] ^= 1
        with pytest.raises(Corrupt):
            parse_frame(damaged)


@pytest.mark.parametrize("length", [0, 7, FRAME_BYTES_MAX + 1, 0xFFFFFFFF])
def test_a_length_that_cannot_be_is_refused_before_memory_is_taken(length: int):
    receiver = FrameReceiver()
    receiver.room()[:4] = length.to_bytes(4, "little")
    with pytest.raises(Corrupt, match="are allowed"):
        receiver.received(4)


def test_what_is_too_large_is_not_sent(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(frames, "FRAME_BYTES_MAX", 1000)
    with pytest.raises(Invalid, match="1000 are allowed"):
        encode_frame(b"head", [bytes(1000)])
