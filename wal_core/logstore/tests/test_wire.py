"""What is said comes back as it was said, errors as they were raised; WIRE.md says the same."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from wal_core.errors import Corrupt, Fenced, Invalid, NoRoom, Truncated, Unavailable, WalError
from wal_core.format.logstore_records import Final
from wal_core.logstore import wire
from wal_core.logstore.frames import Frame, parse_frame
from wal_core.logstore.replica import Promised, Tail, Unknown
from wal_core.logstore.tests.logstores import NONCE_A, NONCE_B

PAGE = Path(wire.__file__).with_name("WIRE.md").read_text()
WHO = (3, NONCE_A, 7, NONCE_B)
QUESTIONS: list[wire.Question] = [
    wire.Hello(0, 1, 1, "AQIDBAUGRwiJCgsMDQ4PEA", b""),
    wire.Join(1, 3, 7, NONCE_A),
    wire.Promise(2, *WHO),
    wire.Look(3, 3, NONCE_A, 0, b""),
    wire.Append(4, *WHO),
    wire.Confirm(5, *WHO, 1, 2),
    wire.End(6, *WHO, 1, 2, b"a footer block"),
    wire.Forget(7, *WHO, 9),
    wire.Read(8, *WHO, 1, 0, 1 << 20, True),
    wire.Ping(9),
]
TAILS = [Tail(0, 3, Final(3, 0, 6, 3, b"footer")), Tail(1, 5, None)]
ANSWERS: list[wire.Answer] = [
    wire.Welcome(0, 1, NONCE_A, ""),
    wire.Joined(1, NONCE_A),
    wire.Tails(2, wire.say_tails(TAILS)),
    wire.Stored(3, 4),
    wire.Blocks(4),
    wire.Done(5),
    wire.Failed(6, "Fenced", "text", 3, None, 1),
]


def frame_of(message: wire.Question | wire.Answer, body: bytes = b"") -> Frame:
    return parse_frame(b"".join(wire.encode(message, [body])))


def test_what_is_said_comes_back():
    assert [type(one) for one in QUESTIONS] == list(get_args(wire.Question))
    assert [type(one) for one in ANSWERS] == list(get_args(wire.Answer))
    for question in QUESTIONS:
        assert wire.question_in(frame_of(question, b"body")) == question
        with pytest.raises(Corrupt):
            wire.answer_in(frame_of(question))
    for answer in ANSWERS:
        assert wire.answer_in(frame_of(answer)) == answer
        with pytest.raises(Corrupt):
            wire.question_in(frame_of(answer))
    assert isinstance(ANSWERS[2], wire.Tails)
    assert wire.tails_said(3, ANSWERS[2].tails) == TAILS


@pytest.mark.parametrize(
    "fields",
    [
        [4, 1, 3, NONCE_A, 7],
        [4, 1, 3, NONCE_A[:-1], 7, NONCE_B],
        [4, 1, 3, NONCE_A, 7, NONCE_B + b"x"],
        [4, 1, -3, NONCE_A, 7, NONCE_B],
        [4, -1, 3, NONCE_A, 7, NONCE_B],
        [1, 1, 3, 7, b""],
        [5, 1, 3, NONCE_A, 7, NONCE_B, 0, 1 << 32],
        [99, 1],
        {"number": 1},
    ],
)
def test_what_cannot_be_meant_is_refused(fields: object):
    with pytest.raises(Corrupt):
        wire.question_in(Frame(memoryview(msgspec.msgpack.encode(fields)), memoryview(b""), 0))


def test_fields_of_a_later_version_are_passed_over():
    head = msgspec.msgpack.encode([4, 1, 3, NONCE_A, 7, NONCE_B, "new"])
    found = wire.question_in(Frame(memoryview(head), memoryview(b""), 0))
    assert found == wire.Append(1, 3, NONCE_A, 7, NONCE_B)


@pytest.mark.parametrize(
    "error",
    [
        kind("why", log_id=1, segment=2, block=3)
        for kind in (Fenced, Unavailable, NoRoom, Truncated, Corrupt, Invalid, Unknown)
    ]
    + [Promised("why", log_id=1, term=9), Unavailable("why")],
    ids=lambda error: type(error).__name__,
)
def test_an_error_is_raised_there_as_it_was_here(error: WalError):
    answer = wire.answer_in(frame_of(wire.failed(1, error)))
    assert isinstance(answer, wire.Failed)
    found = wire.error_of(answer)
    assert type(found) is type(error)
    assert vars(found) == vars(error)
    assert str(found) == str(error)
    assert found.retriable == error.retriable


def test_an_error_of_a_later_version_is_no_reply():
    assert type(wire.error_of(wire.Failed(1, "Novel", "why"))) is Unavailable
    assert type(wire.error_of(wire.Failed(1, "Promised", "why"))) is Unavailable


# -- WIRE.md ----------------------------------------------------------------------------------


def example(name: str) -> bytes:
    found = re.search(rf"```hex {name}\n(.*?)```", PAGE, re.S)
    assert found is not None
    return b"".join(bytes.fromhex(line[6:]) for line in found[1].splitlines())


def test_the_worked_examples_say_what_the_page_says():
    append = parse_frame(example("append"))
    assert wire.question_in(append) == wire.Append(4, *WHO)
    assert bytes(append.body) == b"block"
    assert b"".join(wire.encode(wire.Append(4, *WHO), [b"block"])) == example("append")
    assert wire.answer_in(parse_frame(example("stored"))) == wire.Stored(4, 3)


def test_the_page_lists_every_message_with_its_fields():
    rows = re.findall(r"^\| (\d+) \| ([A-Z]\w+) \| ([^|]*?) \|", PAGE, re.M)
    kinds = [*get_args(wire.Question), *get_args(wire.Answer)]
    assert [(int(tag), name, fields) for tag, name, fields in rows] == [
        (
            kind.__struct_config__.tag,
            kind.__name__,
            ", ".join(kind.__struct_fields__[1:]) or "none",
        )
        for kind in kinds
    ]
