"""`x.py` has `tests/test_x.py`; `without_tests.txt` says whose tests hold the others.

The list only gets shorter: a row whose module has got its own tests, or is gone, is an error.
"""

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from compat_tests.repo.files import ROOT, read

ROWS_COUNT = 17
ELSEWHERE = [
    line.split(maxsplit=2)
    for line in read("compat_tests/repo/without_tests.txt").splitlines()
    if not line.startswith("#")
]
_NOT_MODULES = {"tests", "testing", "messages"}


def modules() -> Iterator[Path]:
    for package in ("gateway", "protocol", "wal_core"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = path.relative_to(ROOT)
            if not _NOT_MODULES & set(name.parts) and not name.stem.startswith("__"):
                yield name


def has_own_tests(module: Path) -> bool:
    """In the `tests` of its folder, or of one above it."""
    return any(
        (ROOT / folder / "tests" / f"test_{module.stem}.py").exists() for folder in module.parents
    )


WITHOUT = [module for module in modules() if not has_own_tests(module)]


@pytest.mark.parametrize("module", WITHOUT, ids=str)
def test_a_module_has_the_test_file_of_its_name_or_a_row(module: Path) -> None:
    assert any(fnmatch(str(module), pattern) for pattern, *_ in ELSEWHERE), (
        f"write {module.parent}/tests/test_{module.stem}.py"
    )


def test_rows_are_of_use_and_name_tests() -> None:
    assert len(ELSEWHERE) <= ROWS_COUNT, "give the new module tests of its own"
    assert len(ELSEWHERE) == ROWS_COUNT, "there are fewer: say so here, that it stays so"
    for pattern, tests, _ in ELSEWHERE:
        assert (ROOT / tests).is_file(), tests
        assert any(fnmatch(str(module), pattern) for module in WITHOUT), f"strike out {pattern}"
