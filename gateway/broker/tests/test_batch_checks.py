"""Where batches are checked, and how many at a time. What is checked: test_record_check.py."""

import asyncio

import pytest

from gateway.broker.batch_checks import (
    QUICK_BYTES_MAX,
    QUICK_LANES_COUNT,
    QUICK_RECORDS_MAX_COUNT,
    Allowance,
    BatchCheck,
    CheckLanes,
)
from gateway.tests.harness import batch_of, virtual
from protocol import (
    BatchError,
    ErrorCode,
    Record,
    RecordRules,
    build_batch,
    record_check,
    validate_batch,
)

ZSTD = 4
PLAIN_BYTES_MAX = 4 * QUICK_BYTES_MAX


def _check(batch: bytearray) -> BatchCheck:
    return BatchCheck(memoryview(batch), validate_batch(batch), RecordRules())


def _varied(count: int, codec: int = 0) -> BatchCheck:
    return _check(build_batch([Record(value=bytes(i % 7)) for i in range(count)], codec=codec))


@pytest.mark.parametrize("codec", range(5))
def test_what_is_small_is_done_at_once(codec: int) -> None:
    check = _check(batch_of(*[b"v" * 50] * 200, codec=codec, times=[7] * 200))
    allowance = Allowance()
    assert check.at_once(allowance)
    assert check.max_timestamp_ms == 7
    assert 0 < allowance.units < 2_000


def test_all_batches_of_a_request_share_what_one_step_may_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record_check, "COMPILED", None)
    allowance = Allowance()
    outcomes = [_varied(300, codec=n % 2).at_once(allowance) for n in range(20)]
    assert outcomes[:3] == [True, True, True]
    assert not any(outcomes[9:])


def test_records_that_compiled_code_looks_at_count_for_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if record_check.COMPILED is None:
        pytest.skip("compiled help was not built")
    allowances = Allowance(), Allowance()
    assert _varied(1_500).at_once(allowances[0])
    monkeypatch.setattr(record_check, "COMPILED", None)
    assert _varied(1_500).at_once(allowances[1])
    compiled_units, pure_units = (2_000 - allowance.units for allowance in allowances)
    assert 0 < compiled_units < pure_units / 10


@pytest.mark.parametrize("size_bytes", [600_000, QUICK_BYTES_MAX - 99, PLAIN_BYTES_MAX - 99])
@virtual
async def test_what_is_larger_goes_on_to_where_there_is_room(size_bytes: int) -> None:
    lanes = CheckLanes(PLAIN_BYTES_MAX)
    check = _check(batch_of(bytes(size_bytes), codec=ZSTD, times=[7]))
    assert not check.at_once(Allowance())
    await lanes.finish(check)
    assert check.max_timestamp_ms == 7
    lanes.close()


@virtual
async def test_beyond_the_bound_is_told_with_the_setting() -> None:
    lanes = CheckLanes(PLAIN_BYTES_MAX)
    with pytest.raises(BatchError, match="decompressed_bytes_max") as caught:
        await lanes.finish(_check(batch_of(bytes(PLAIN_BYTES_MAX), codec=ZSTD)))
    assert caught.value.code is ErrorCode.MESSAGE_TOO_LARGE
    lanes.close()


@pytest.mark.parametrize("count", [1_000, QUICK_RECORDS_MAX_COUNT + 1])
@virtual
async def test_few_are_open_at_a_time(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    open_count = most_count = 0

    async def through(*_: object) -> bool:
        nonlocal open_count, most_count
        open_count += 1
        most_count = max(most_count, open_count)
        await asyncio.sleep(1)
        open_count -= 1
        return True

    monkeypatch.setattr(CheckLanes, "_through", through)
    lanes = CheckLanes(PLAIN_BYTES_MAX)
    await asyncio.gather(*(lanes.finish(_varied(count)) for _ in range(8)))
    assert most_count == (QUICK_LANES_COUNT if count == 1_000 else 1)
    lanes.close()
