"""Two checkouts are measured in turn, each with its own sources, and compared round by round."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from compat_tests.bench.broker import gateway
from compat_tests.bench.versus import OURS, compare, report

OTHER = Path("/other")


def test_rounds_alternate_and_only_a_clear_loss_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    asked = []

    def measure(checkout: Path) -> Iterator[tuple[str, float]]:
        asked.append(checkout)
        drift = 1 + len(asked) // 2  # the machine gets faster all the time
        yield "same", 100.0 * drift
        yield "slower", (90.0 if checkout == OURS else 100.0) * drift

    rates = compare(OURS, OTHER, 4, measure)
    assert asked == [OTHER, OURS, OURS, OTHER] * 2
    assert [[*rate] for rate in rates] == [["same", "slower"]] * 2
    assert report({"same": [97.0, 300.0]}, {"same": [100.0, 301.0]}) == 0
    capsys.readouterr()
    assert report({"a": [90.0, 270.0], "b": [1.0, 1.0]}, {"a": [100.0, 300.0], "b": [1, 1]}) == 1
    assert "worse by more than 5%: a\n" in capsys.readouterr().out


def test_a_broker_runs_from_the_sources_of_its_checkout(tmp_path: Path) -> None:
    for name in ("gateway", "protocol", "wal_core"):
        shutil.copytree(OURS / name, tmp_path / name, ignore=shutil.ignore_patterns("tests"))
    with gateway("memory:", "object", checkout=tmp_path) as broker:
        assert Path(broker.process.cwd()) == tmp_path
        (tmp_path / "gateway" / "__main__.py").unlink()
    with (
        pytest.raises(RuntimeError, match="did not start"),
        gateway("memory:", "object", checkout=tmp_path),
    ):
        pass
