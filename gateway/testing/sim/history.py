"""What the clients did and saw, as they saw it: the evidence that the checks judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Partition = tuple[str, int]
"""Topic and index."""


@dataclass(slots=True)
class Send:
    """One batch of one producer. Values are unique in a run."""

    producer: str
    partition: Partition
    values: list[bytes]
    invoked_s: float
    status: Literal["open", "ok", "info"] = "open"  # info: nobody knows
    completed_s: float = 0.0
    base_offset: int = -1


@dataclass(slots=True)
class Poll:
    """One fetch reply's records of one partition."""

    consumer: str
    partition: Partition
    at_s: float
    position: int  # the offset that it asked for
    records: list[tuple[int, bytes]]
    session: int = 0  # rises when the consumer was told to go elsewhere: gaps are fine between


@dataclass(slots=True)
class Commit:
    """An offset committed for the group."""

    partition: Partition
    offset: int
    done: bool = False  # else nobody knows; one that was refused is not here


@dataclass(slots=True)
class Deletion:
    """One DeleteRecords of one partition."""

    partition: Partition
    offset: int  # what is below it is to go
    done: bool = False  # else nobody knows


@dataclass(slots=True)
class History:
    """Everything of one run, in order of invocation."""

    sends: list[Send] = field(default_factory=list)
    polls: list[Poll] = field(default_factory=list)
    commits: list[Commit] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
