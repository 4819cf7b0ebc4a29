"""One thing to fuzz: a decoder, the errors it may refuse with, and what its results must obey."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")
Seeds = Callable[[], Iterator[tuple[str, bytes]]]

INPUT_BYTES_MAX = 4096
MEMORY_BYTES_MAX = 1024 * 1024
MEMORY_PER_INPUT_BYTE_MAX = 200
"""An object of Python per byte or two; a length that is believed costs thousands of times that."""


class Target(NamedTuple, Generic[T]):
    """`decode` raises nothing but `refusals`; `check` gets what it accepted and raises nothing."""

    name: str
    decode: Callable[[bytes], T]
    refusals: tuple[type[Exception], ...]
    check: Callable[[T], None]
    seeds: Seeds
    """(name, input) pairs made by the real encoders; all are accepted."""

    def run(self, data: bytes) -> bool:
        """Whether the input was accepted. Raises whatever should not have been."""
        try:
            value = self.decode(data)
        except self.refusals:
            return False
        self.check(value)
        return True

    def run_measured(self, data: bytes) -> bool:
        """Likewise; AssertionError when it took more memory than such an input may."""
        self.run(data)  # what the first call imports or caches is not the input's doing
        tracemalloc.start()
        try:
            accepted = self.run(data)
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        allowed_bytes = MEMORY_BYTES_MAX + MEMORY_PER_INPUT_BYTE_MAX * len(data)
        assert peak_bytes <= allowed_bytes, f"{len(data)} bytes of input took {peak_bytes}"
        return accepted
