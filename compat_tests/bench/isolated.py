"""Work in a process of its own, which shares no interpreter with anything else."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


def isolated(work: Callable[..., T], *args: Any, **settings: Any) -> T:
    """What `work` returns in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *args, **settings).result()
