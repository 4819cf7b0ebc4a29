"""Each attack at its basic load or less; no statement about times, they are `make siege`'s."""

from pathlib import Path

import pytest

from compat_tests.siege.attacks import ATTACKS
from compat_tests.siege.cage import GIB
from compat_tests.siege.siege import LEFT_BYTES_MAX, besiege

SCALE = 0.25


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", list(ATTACKS))
def test_others_go_on(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Memory stays below a gigabyte and comes back, nobody else sees an error, a start succeeds."""
    if request.config.getoption("--bootstrap"):
        pytest.skip("measures the process; not with --bootstrap")
    result = besiege(name, SCALE, str(tmp_path / "data"), alone_s=1.0)
    assert result.peak_bytes < GIB
    assert result.left_bytes < LEFT_BYTES_MAX
    assert result.beside.errors == []
    assert len(result.beside.produce_ms) > 10
