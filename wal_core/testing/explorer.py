"""An explicit-state model checker: every state that any order of steps can reach, breadth first.

A model is a start, the steps out of a state, and what must never be true of a state. Breadth first
means that the first violation found has a shortest way to it, which is the trace. Nothing is
sampled, hashed down or forgotten: a run that ends without a violation has seen every state.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

State = TypeVar("State", bound=Hashable)


class Model(Protocol[State]):
    """States are immutable and hashable; equal means the same in every respect that matters."""

    def start(self) -> State: ...

    def steps(self, state: State) -> Iterable[tuple[str, State]]:
        """Everything that can happen next, each as (what a trace calls it, the state after)."""
        ...

    def violation(self, state: State) -> str | None:
        """What is wrong with a state, None when nothing is."""
        ...


@dataclass
class Exploration:
    """What a run saw."""

    states_count: int = 1
    steps_count: int = 0
    depth: int = 0
    complete: bool = False
    """Every reachable state was looked at. False: a violation ended the run, or `states_max`."""
    violation: str | None = None
    trace: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        size = f"{self.states_count} states, {self.steps_count} steps, depth {self.depth}"
        if self.violation is None:
            return f"{size}: {'clean and complete' if self.complete else 'clean so far'}"
        lines = [f"{at:3} {step}" for at, step in enumerate(self.trace, 1)]
        return "\n".join([f"{size}: {self.violation}", *lines])


def explore(model: Model[State], *, states_max: int = 10_000_000) -> Exploration:
    """Look at every state, or stop at the first violation or beyond `states_max` states."""
    start = model.start()
    parents: dict[State, tuple[State, str] | None] = {start: None}
    seen = Exploration(violation=model.violation(start))
    level = [start]
    while level and seen.violation is None and seen.states_count < states_max:
        following: list[State] = []
        for state in level:
            for step, after in model.steps(state):
                seen.steps_count += 1
                if after in parents:
                    continue
                parents[after] = (state, step)
                following.append(after)
                seen.violation = model.violation(after)
                if seen.violation is not None:
                    seen.trace = _trace(parents, after)
                    seen.states_count, seen.depth = len(parents), len(seen.trace)
                    return seen
        seen.states_count = len(parents)
        seen.depth += bool(following)
        level = following
    seen.complete = not level and seen.violation is None
    return seen


def _trace(parents: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    steps: list[str] = []
    while (parent := parents[state]) is not None:
        state, step = parent
        steps.append(step)
    return steps[::-1]
