"""Every message arrives as it was sent; what is none is refused."""

import asyncio

import pytest

from gateway.cluster.coordination import shared_wire as wire
from gateway.cluster.coordination.base import (
    Change,
    Compacted,
    Delete,
    Done,
    KeyValue,
    LeaseLost,
    Put,
    Refused,
    Snapshot,
    StoreAway,
    Unchanged,
)

THEN = [Put("/p/a", b"1", 7), Put("/p/b", b""), Delete("/p/c")]
QUESTIONS: list[wire.Question] = [
    wire.Read(1, "/p"),
    wire.Transact(2, [Unchanged("/p/a", 3)], wire.parts(THEN)),
    wire.Watch(3, "/p", 9),
    wire.Unwatch(3),
    wire.Grant(4, 5),
    wire.KeepAlive(5, 6),
    wire.Revoke(6, 6),
    wire.Ready(0),
]
ANSWERS: list[wire.Answer] = [
    wire.Found(1, Snapshot(1, 9, (KeyValue("/p/a", b"1", 2, 3, 7),))),
    wire.Carried(2, Done(succeeded=True, revision=10)),
    wire.Granted(4, 6),
    wire.Well(5),
    wire.Changed(3, (Change("/p/a", None, 11), Change("/p/b", b"2", 11))),
    wire.Failed(6, "LeaseLost", "over"),
]


async def arrived(*sent: bytes) -> bytes:
    reader = asyncio.StreamReader()
    for piece in sent:
        reader.feed_data(piece)
    reader.feed_eof()
    return await wire.read_frame(reader)


@pytest.mark.parametrize("message", QUESTIONS, ids=lambda m: type(m).__name__)
async def test_questions(message: wire.Question) -> None:
    assert wire.questions.decode(await arrived(wire.frame(message))) == message


@pytest.mark.parametrize("message", ANSWERS, ids=lambda m: type(m).__name__)
async def test_answers(message: wire.Answer) -> None:
    assert wire.answers.decode(await arrived(wire.frame(message))) == message


def test_what_a_transaction_does() -> None:
    assert wire.puts_and_deletes(wire.parts(THEN)) == THEN


@pytest.mark.parametrize("kind", [StoreAway, LeaseLost, Compacted, Refused])
def test_errors_keep_their_kind(kind: type[StoreAway]) -> None:
    error = wire.error_of(wire.failed(1, kind("why")))
    assert (type(error), str(error)) == (kind, "why")


async def test_a_frame_that_is_cut_short_or_too_long_is_the_end() -> None:
    with pytest.raises(EOFError):
        await arrived(wire.frame(wire.Ready(0))[:-1])
    with pytest.raises(EOFError, match="a frame of"):
        await arrived((wire.FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
