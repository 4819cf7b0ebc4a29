"""What is said between a logstore and those who ask it: the heads of frames. Source: WIRE.md.

Each question has a number, and gets one answer with that number; answers come in any order. A head
is a MessagePack array: a tag, the number, the fields. Fields may be added behind the others with a
default; a reader passes over those it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, NamedTuple, TypeAlias

import msgspec

from wal_core.errors import Corrupt, Fenced, Invalid, NoRoom, Truncated, Unavailable, WalError
from wal_core.format.block import NONCE_BYTES
from wal_core.format.logstore_records import Final
from wal_core.logstore.frames import Frame, encode_frame
from wal_core.logstore.replica import Asker, Promised, Tail, Unknown
from wal_core.types import Buffer

OLDEST_VERSION = NEWEST_VERSION = 1
"""Of what is said here, as both ends agree on at the start of a connection."""
CLUSTER_CHARS_MAX = 64

_Number: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)]
_Name: TypeAlias = Annotated[bytes, msgspec.Meta(max_length=NONCE_BYTES)]
_WholeName: TypeAlias = Annotated[
    bytes, msgspec.Meta(min_length=NONCE_BYTES, max_length=NONCE_BYTES)
]
_Cluster: TypeAlias = Annotated[str, msgspec.Meta(max_length=CLUSTER_CHARS_MAX)]


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Base of all."""

    number: _Number


class Hello(Message, frozen=True, tag=0):
    """The first question: which versions are spoken, for which cluster, to which disk (empty: to
    any)."""

    oldest: _Number
    newest: _Number
    cluster: _Cluster
    disk: _Name


class Join(Message, frozen=True, tag=1):
    log: _Number
    term: _Number
    nonce: _WholeName


class _Asked(Message, frozen=True):
    log: _Number
    birth: _WholeName
    term: _Number
    nonce: _Name

    @property
    def asker(self) -> Asker:
        return Asker(self.log, self.birth, self.term, self.nonce)


class Promise(_Asked, frozen=True, tag=2):
    pass


class Look(_Asked, frozen=True, tag=3):
    pass


class Append(_Asked, frozen=True, tag=4):
    """The body is the block."""


class Confirm(_Asked, frozen=True, tag=5):
    segment: _Number
    count: _Count


class End(_Asked, frozen=True, tag=6):
    """Of a segment; the term is the one under which it is proposed."""

    segment: _Number
    end: _Count
    footer: bytes


class Forget(_Asked, frozen=True, tag=7):
    before: _Number


class Read(_Asked, frozen=True, tag=8):
    segment: _Number
    first: _Count
    bytes_max: _Number
    recovering: bool


class Ping(Message, frozen=True, tag=9):
    """Is anybody there?"""


class Welcome(Message, frozen=True, tag=16):
    """To Hello: the version that is spoken from now on, the disk, and the cluster it belongs to
    (empty: to none yet)."""

    version: _Number
    disk: _WholeName
    cluster: _Cluster


class Joined(Message, frozen=True, tag=17):
    birth: _WholeName


class SaidFinal(NamedTuple):
    """See `Final`, which says the log and the segment besides."""

    term: int
    end: int
    footer: bytes


class SaidTail(NamedTuple):
    """See `Tail`."""

    segment: int
    end: int
    final: SaidFinal | None


class Tails(Message, frozen=True, tag=18):
    """To Promise and Look."""

    tails: list[SaidTail]


class Stored(Message, frozen=True, tag=19):
    """To Append."""

    end: _Count


class Blocks(Message, frozen=True, tag=20):
    """To Read; the body is the blocks."""


class Done(Message, frozen=True, tag=21):
    """To all that has nothing to say."""


class Failed(Message, frozen=True, tag=22):
    """To anything. The term is the one to which the log is promised, of an error that says so."""

    kind: str
    text: str
    log: int | None = None
    segment: int | None = None
    block: int | None = None
    term: int | None = None


Question: TypeAlias = Hello | Join | Promise | Look | Append | Confirm | End | Forget | Read | Ping
Answer: TypeAlias = Welcome | Joined | Tails | Stored | Blocks | Done | Failed

_encoder = msgspec.msgpack.Encoder()
_questions: msgspec.msgpack.Decoder[Question] = msgspec.msgpack.Decoder(Question)
_answers: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode(message: Question | Answer, body: Sequence[Buffer] = ()) -> list[Buffer]:
    """Its frame, in pieces."""
    return encode_frame(_encoder.encode(message), body)


def question_in(frame: Frame) -> Question:
    """Raises Corrupt."""
    try:
        return _questions.decode(frame.head)
    except _UNREADABLE as error:
        raise Corrupt(f"a question to a logstore cannot be read: {error}") from error


def answer_in(frame: Frame) -> Answer:
    """Raises Corrupt."""
    try:
        return _answers.decode(frame.head)
    except _UNREADABLE as error:
        raise Corrupt(f"an answer of a logstore cannot be read: {error}") from error


# -- tails ------------------------------------------------------------------------------------


def say_tails(tails: Sequence[Tail]) -> list[SaidTail]:
    """As they are sent."""
    return [
        SaidTail(segment, end, final and SaidFinal(final.term, final.end, final.footer))
        for segment, end, final in tails
    ]


def tails_said(log_id: int, said: Sequence[SaidTail]) -> list[Tail]:
    """As they were meant."""
    return [
        Tail(segment, end, final and Final(log_id, segment, *final)) for segment, end, final in said
    ]


# -- errors -----------------------------------------------------------------------------------

_KINDS: dict[str, type[WalError]] = {
    kind.__name__: kind
    for kind in (Fenced, Unavailable, NoRoom, Truncated, Corrupt, Invalid, Unknown)
}


def failed(number: int, error: WalError) -> Failed:
    """What who asked will raise."""
    return Failed(
        number,
        type(error).__name__,
        error.message,
        error.log_id,
        error.segment,
        error.block,
        error.term if isinstance(error, Promised) else None,
    )


def error_of(answer: Failed) -> WalError:
    """See `failed`; of a kind that is not known here: Unavailable, which counts as no reply."""
    if answer.kind == Promised.__name__ and answer.log is not None and answer.term is not None:
        return Promised(answer.text, log_id=answer.log, term=answer.term)
    kind = _KINDS.get(answer.kind, Unavailable)
    return kind(answer.text, log_id=answer.log, segment=answer.segment, block=answer.block)
