"""Random numbers of a simulation: one independent stream per use, all from one seed.

A stream is named by what it is for. Removing one fault or one client then leaves the numbers that
everybody else draws as they were, which is what lets a failing run be made smaller. No name may
depend on object addresses, hash order or the real clock.
"""

from __future__ import annotations

import hashlib
import random  # noqa: TID251 - seeded, for tests

Random = random.Random


def stream(seed: int, *names: object) -> Random:
    """The generator called `names` (texts and numbers) of the run called `seed`."""
    text = repr((seed, names)).encode()
    return Random(int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big"))


class SeededRng:
    """wal_core's Rng over a stream: nonces that nobody else draws, without real randomness."""

    def __init__(self, seed: int, *names: object) -> None:
        self._random = stream(seed, "rng", *names)

    def random_bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def random(self) -> float:
        return self._random.random()
