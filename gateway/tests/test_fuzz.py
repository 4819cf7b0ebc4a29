"""The targets of the fuzzer and its corpus, without the fuzzer: every input, in this process."""

from __future__ import annotations

import random  # noqa: TID251 - seeded
from typing import Any

import pytest

from gateway.testing.fuzz.arcs import worth_keeping
from gateway.testing.fuzz.corpus import (
    BUG,
    FOLDER,
    FOUND,
    SEED,
    read_corpus,
    with_found,
    with_seeds,
    write_corpus,
)
from gateway.testing.fuzz.table import TARGETS, target_named
from gateway.testing.fuzz.target import INPUT_BYTES_MAX, MEMORY_BYTES_MAX, Target

MUTATIONS_COUNT = 150
CORPUS_BYTES_MAX = 160 * 1024
INTERESTING = (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 8)

each_target = pytest.mark.parametrize("target", TARGETS, ids=[target.name for target in TARGETS])


@each_target
def test_it_accepts_what_the_encoders_make(target: Target[Any]) -> None:
    """Otherwise it would fuzz its refusals only."""
    seeds = list(target.seeds())
    assert seeds
    for name, data in seeds:
        assert target.run_measured(data), name


@each_target
def test_the_corpus_breaks_no_rule(target: Target[Any]) -> None:
    inputs = read_corpus(target.name)
    assert any(name.startswith(SEED) for name in inputs), "run --write-seeds"
    for name, data in inputs.items():
        assert name.startswith((SEED, FOUND, BUG)), name
        assert len(data) <= INPUT_BYTES_MAX
        target.run_measured(data)


@each_target
def test_neither_do_inputs_near_it(target: Target[Any]) -> None:
    rng = random.Random(target.name)
    inputs = list(read_corpus(target.name).values())
    for _ in range(MUTATIONS_COUNT):
        target.run(mutated(rng, rng.choice(inputs)))


def mutated(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(out))
        action = rng.randrange(4)
        if action == 0:
            out[at : at + 1] = rng.choice(INTERESTING)
        elif action == 1:
            del out[at : at + rng.choice((1, 4, len(out)))]
        elif action == 2:
            out[at:at] = out[at : at + rng.choice((1, 8, 40))]
        elif at < len(out):
            out[at] ^= 1 << rng.randrange(8)
    return bytes(out)


def test_the_corpus_is_small_and_belongs_to_the_table() -> None:
    files = sorted(FOLDER.iterdir())
    assert [path.stem for path in files] == sorted(target.name for target in TARGETS)
    assert sum(path.stat().st_size for path in files) <= CORPUS_BYTES_MAX


# --- the tools themselves ------------------------------------------------------------------------


def a_target(decode: Any, check: Any = lambda _: None) -> Target[Any]:
    return Target("mine", decode, (ValueError,), check, lambda: iter([("one", b"1")]))


def test_a_refusal_is_fine_and_anything_else_is_told() -> None:
    assert a_target(int).run(b"12")
    assert not a_target(int).run(b"no number")
    with pytest.raises(UnicodeDecodeError, match="ascii"):  # a ValueError, but not the decoder's
        a_target(int, lambda _: b"\xff".decode("ascii")).run(b"12")
    with pytest.raises(KeyError):
        a_target({}.__getitem__).run(b"12")


def test_an_input_that_takes_too_much_memory_is_told() -> None:
    greedy = a_target(lambda data: bytes(int(data)))
    assert greedy.run_measured(b"1000")
    with pytest.raises(AssertionError, match="took"):
        greedy.run_measured(str(2 * MEMORY_BYTES_MAX).encode())


def test_a_corpus_is_read_as_it_was_written(tmp_path: Any) -> None:
    inputs = {"bug-empty": b"", "seed-one": b"1", "found-aa": b"\x00\xff"}
    write_corpus("mine", inputs, tmp_path)
    assert read_corpus("mine", tmp_path) == inputs
    assert (tmp_path / "mine.txt").read_text() == "seed-one 31\nfound-aa 00ff\nbug-empty -\n"
    assert read_corpus("another", tmp_path) == {}


def test_seeds_are_replaced_and_the_rest_is_kept() -> None:
    old = {"seed-old": b"0", "bug-x": b"x", "found-y": b"y"}
    assert with_seeds(a_target(int), old) == {"seed-one": b"1", "bug-x": b"x", "found-y": b"y"}


def test_what_is_found_is_kept_as_far_as_there_is_room_the_shortest_first() -> None:
    kept = with_found({"seed-a": b"a", "found-old": b"old"}, [b"a", b"22", b"1", b"333"], 3)
    assert sorted(kept.values()) == [b"1", b"22", b"a"]
    assert {name[:6] for name in kept} == {"seed-a", "found-"}


def test_what_goes_nowhere_new_is_not_worth_keeping() -> None:
    def decode(data: bytes) -> int:
        if data.startswith(b"x"):
            return 1
        return len(data)

    assert worth_keeping(a_target(decode), [b"aaa", b"bb", b"xx", b"xxx"], [b"a"]) == [b"xx"]
    assert worth_keeping(a_target(decode), [b"aaa", b"bb"], []) == [b"bb"]


def test_an_unknown_target() -> None:
    with pytest.raises(KeyError):
        target_named("nothing")
