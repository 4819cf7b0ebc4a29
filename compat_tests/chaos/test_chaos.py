"""Random faults under load, for `--minutes` per mode; the same `--seed`, the same faults."""

from collections.abc import Callable
from pathlib import Path

import pytest

from compat_tests.chaos.run import run
from compat_tests.support.client import Library


@pytest.mark.chaos
@pytest.mark.timeout(0)  # everything inside has a deadline
def test_random_faults_lose_nothing(
    chaos_mode: str,
    request: pytest.FixtureRequest,
    need: Callable[[str], Library],
    tmp_path: Path,
) -> None:
    run(
        chaos_mode,
        tmp_path,
        seed=request.config.getoption("--seed"),
        minutes=request.config.getoption("--minutes"),
        library=need,
    )
