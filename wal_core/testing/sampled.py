"""Seeds for `make check`, and the rest of them for `make test`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import pytest


def sampled(seeds: Iterable[Any], *, quick_count: int) -> list[Any]:
    """For parametrize: the first few as they are, the others marked slow."""
    rest = iter(seeds)
    quick = list(islice(rest, quick_count))
    return [*quick, *(pytest.param(seed, marks=pytest.mark.slow) for seed in rest)]
