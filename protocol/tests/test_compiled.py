"""Compiled help against the Python code that does the same."""

import os
import random  # noqa: TID251  (seeded)
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from protocol import BatchError, Record, RecordRules, build_batch, record_check
from protocol.batch_header import HEADER_BYTES, read_header
from protocol.compiled import PURE_ENV, compiled, compiled_parts, is_stale
from protocol.record_check import INT64_MAX, INT64_MIN, RecordCheck

NOW_MS = 1_700_000_000_000
NEEDS_BUILD = pytest.mark.skipif(
    record_check.COMPILED is None, reason="compiled help was not built"
)


@pytest.fixture
def records() -> ModuleType:
    assert record_check.COMPILED is not None
    return record_check.COMPILED


def test_ci_has_built_it() -> None:
    if not os.environ.get("CI") or os.environ.get(PURE_ENV):
        pytest.skip("only where everything must take part")
    assert all(compiled_parts().values())


def test_what_is_not_there_is_none() -> None:
    assert compiled("protocol.no_such_module") is None


def test_what_was_built_before_its_source_changed_is_passed_over(tmp_path: Path) -> None:
    built, source = tmp_path / "_part.abi3.so", tmp_path / "_part.c"
    built.touch()
    assert not is_stale(str(built))  # installed without its source
    source.touch()
    os.utime(source, (100, 100))
    os.utime(built, (100, 100))
    assert not is_stale(str(built))
    os.utime(source, (101, 101))
    assert is_stale(str(built))


def test_the_environment_keeps_it_out() -> None:
    code = "from protocol import compiled_parts, record_check; "
    code += "print(record_check.COMPILED, compiled_parts())"
    environ = {**os.environ, PURE_ENV: "1"}
    said = subprocess.check_output([sys.executable, "-c", code], env=environ, text=True)
    assert said.startswith("None ")
    assert "True" not in said


def outcome(batch: bytes, rules: RecordRules, step: int) -> object:
    try:
        check = RecordCheck(read_header(batch), memoryview(batch)[HEADER_BYTES:], rules)
        while not check.is_done:
            check.step(step)
    except BatchError as error:
        return error.code, error.reason, list(error.records)
    return check.max_timestamp_ms


def a_batch(rng: random.Random) -> bytearray:
    sizes, keys = rng.choice(((0, 3), (5, 5), (0, 200))), (None, b"", b"k", b"k" * 100)
    headers = rng.choice(([], [("name", b"content"), ("empty", None)]))
    spread = rng.choice((0, 3, 100_000, 1 << 40))
    records = [
        Record(
            0,
            NOW_MS + rng.randint(-spread, spread),
            rng.choice(keys),
            bytes(rng.randint(*sizes)),
            headers,
        )
        for _ in range(rng.choice((1, 5, 70, 300)))
    ]
    batch = build_batch(records)
    for _ in range(rng.choice((0, 1, 1, 2, 9))):
        at = rng.randrange(HEADER_BYTES, len(batch))
        batch[at] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, batch[at] ^ 2, rng.randrange(256)))
    if rng.random() < 0.2:
        del batch[rng.randrange(HEADER_BYTES, len(batch)) :]
    return batch


@NEEDS_BUILD
@pytest.mark.parametrize("seed", range(4))
def test_both_say_the_same_of_any_bytes(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(seed)
    refused_count = 0
    for _ in range(500):
        batch = bytes(a_batch(rng))
        rules = rng.choice(
            (
                record_check.ANY_RECORDS,
                RecordRules(NOW_MS - 50, NOW_MS + 50_000, needs_keys=rng.random() < 0.5),
                RecordRules(needs_keys=True),
            )
        )
        step = rng.choice((1, 7, 10_000))
        with monkeypatch.context() as patch:
            expected = outcome(batch, rules, step)
            patch.setattr(record_check, "COMPILED", None)
            assert outcome(batch, rules, step) == expected, batch.hex()
        refused_count += not isinstance(expected, int)
    assert 100 < refused_count < 450


@NEEDS_BUILD
def test_it_stops_before_what_it_does_not_take(records: ModuleType) -> None:
    batch = build_batch([Record(timestamp_ms=NOW_MS + i, value=b"v" * i) for i in range(9)])
    plain = bytes(batch[HEADER_BYTES:])
    rules = (NOW_MS, INT64_MIN, INT64_MAX, False, -1)
    assert records.sound(plain, 0, 0, 9, *rules) == (9, len(plain), NOW_MS + 8)
    number, at, latest_ms = records.sound(plain, 0, 0, 4, *rules)
    assert (number, latest_ms) == (4, NOW_MS + 3)
    assert records.sound(plain, at, 4, 99, *rules) == (9, len(plain), NOW_MS + 8)
    assert records.sound(plain, at, 5, 99, *rules) == (5, at, -1)  # another number is due
    for end in range(len(plain)):
        assert records.sound(plain[:end], 0, 0, 9, *rules)[0] < 9
    assert records.sound(plain, 0, 0, 9, NOW_MS, INT64_MIN, NOW_MS + 1, False, -1)[0] == 2


@NEEDS_BUILD
def test_positions_outside_of_the_bytes_are_refused(records: ModuleType) -> None:
    rules = (NOW_MS, INT64_MIN, INT64_MAX, False, -1)
    for at, index in ((-1, 0), (4, 0), (1 << 62, 0), (0, -1)):
        with pytest.raises(ValueError, match="position"):
            records.sound(b"abc", at, index, 9, *rules)
    with pytest.raises(TypeError):
        records.sound("abc", 0, 0, 9, *rules)
    assert records.sound(b"", 0, 0, 9, *rules) == (0, 0, -1)
