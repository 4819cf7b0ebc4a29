"""Who holds a log: what every part of an open log has to know of its owner, as one value."""

from __future__ import annotations

import dataclasses

from wal_core.clock import Clock, Rng
from wal_core.config import LogConfig


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Tenure:
    """From one opening of a log to its close. Never changes: what is written under it names it."""

    config: LogConfig
    clock: Clock
    rng: Rng
    nonce: bytes
    """Tells what this opening wrote from what anybody else wrote, whatever the term."""
    term: int = 0
    """Higher than that of every earlier writer; 0 until that is known."""

    def __post_init__(self) -> None:
        assert self.term >= 0

    @property
    def log_id(self) -> int:
        return self.config.log_id

    def of_term(self, term: int) -> Tenure:
        """The same, once the term is known."""
        assert self.term == 0 < term
        return dataclasses.replace(self, term=term)
