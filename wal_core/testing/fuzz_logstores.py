"""What must hold for any bytes that claim to be said to a logstore, or by one.

`decode_x` may refuse with Corrupt and nothing else; `check_x` takes what was accepted and may not
fail.
"""

from __future__ import annotations

from collections.abc import Iterator

from wal_core.format.logstore_records import (
    Final,
    Identity,
    Promise,
    encode_final,
    encode_identity,
    encode_promise,
    parse_final,
    parse_identity,
    parse_promise,
)
from wal_core.logstore import wire
from wal_core.logstore.frames import Frame, FrameReceiver, parse_frame
from wal_core.logstore.replica import Tail

_NAME = bytes(range(16))
_WHO = (3, _NAME, 7, _NAME)
_QUESTIONS: tuple[wire.Question, ...] = (
    wire.Hello(0, 1, 1, "cluster", b""),
    wire.Join(1, 3, 7, _NAME),
    wire.Append(4, *_WHO),
    wire.Confirm(5, *_WHO, 1, 2),
    wire.End(6, *_WHO, 1, 2, b"footer"),
    wire.Read(8, *_WHO, 1, 0, 1 << 20, False),
)
_ANSWERS: tuple[wire.Answer, ...] = (
    wire.Welcome(0, 1, _NAME, "cluster"),
    wire.Tails(2, wire.say_tails([Tail(0, 3, Final(3, 0, 6, 3, b"footer")), Tail(1, 5, None)])),
    wire.Stored(3, 4),
    wire.Failed(6, "Promised", "text", 3, None, None, 9),
)


# --- frames --------------------------------------------------------------------------------------


def frames_seeds() -> Iterator[tuple[str, bytes]]:
    sent = [b"".join(wire.encode(question, [b"body"])) for question in _QUESTIONS]
    yield "one", sent[0]
    yield "all", b"".join(sent)


def decode_frames(data: bytes) -> tuple[bytes, list[Frame]]:
    """All whole ones of a stream. Raises Corrupt."""
    receiver = FrameReceiver()
    receiver.room()[: len(data)] = data
    return data, receiver.received(len(data))


def check_frames(decoded: tuple[bytes, list[Frame]]) -> None:
    """They lie side by side from the start on."""
    data, frames = decoded
    at = 0
    for frame in frames:
        again = parse_frame(data[at : at + frame.total_bytes])
        assert (again.head, again.body) == (frame.head, frame.body)
        at += frame.total_bytes


# --- heads ---------------------------------------------------------------------------------------


def heads_seeds() -> Iterator[tuple[str, bytes]]:
    for question in _QUESTIONS:
        head = parse_frame(b"".join(wire.encode(question))).head
        yield f"question-{type(question).__name__}", b"q" + head
    for answer in _ANSWERS:
        yield (
            f"answer-{type(answer).__name__}",
            b"a" + parse_frame(b"".join(wire.encode(answer))).head,
        )


def decode_head(data: bytes) -> wire.Question | wire.Answer:
    """A byte that says whether it is a question, the head. Raises Corrupt."""
    frame = Frame(memoryview(data)[1:], memoryview(b""), 0)
    return wire.question_in(frame) if data[:1] == b"q" else wire.answer_in(frame)


def check_head(message: wire.Question | wire.Answer) -> None:
    """It is said again as it was understood; what it names fits where it is written down."""
    frame = parse_frame(b"".join(wire.encode(message)))
    asks = isinstance(message, wire.Question)
    assert (wire.question_in(frame) if asks else wire.answer_in(frame)) == message
    match message:
        case wire.Join():
            encode_promise(Promise(message.log, _NAME, message.term, message.nonce))
        case wire.End():
            said = (message.log, message.segment, message.term, message.end, message.footer)
            encode_final(Final(*said))
        case wire.Failed():
            wire.error_of(message)
        case wire.Tails():
            wire.tails_said(1, message.tails)


# --- records -------------------------------------------------------------------------------------


def records_seeds() -> Iterator[tuple[str, bytes]]:
    yield "identity", b"i" + encode_identity(Identity(_NAME, "cluster"))
    yield "promise", b"p" + encode_promise(Promise(3, _NAME, 7, _NAME))
    yield "final", b"f" + encode_final(Final(3, 1, 7, 2, b"footer"))


def decode_record(data: bytes) -> Identity | Promise | Final:
    """A byte that says which kind, the record. Raises Corrupt, Invalid."""
    stored = data[1:]
    if data[:1] == b"i":
        return parse_identity(stored)
    return parse_promise(stored) if data[:1] == b"p" else parse_final(stored)


def check_record(record: Identity | Promise | Final) -> None:
    """It is written down again as it was read."""
    match record:
        case Identity():
            assert parse_identity(encode_identity(record)) == record
        case Promise():
            assert parse_promise(encode_promise(record)) == record
        case Final():
            assert parse_final(encode_final(record)) == record
