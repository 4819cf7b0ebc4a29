"""Make each mistake of the table in a copy of the sources and see whether its tests notice.

First the named tests run without any mistake: what fails anyway notices nothing. The exit code is 1
if a mistake is not caught, or if a test that the table names for it does not notice it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gateway.testing.teeth.mutation import Mutation, read_all
from gateway.testing.teeth.tree import Tree

ALL_UNIT_TESTS = ("protocol", "wal_core", "gateway")


class Verdict(NamedTuple):
    """What came of one mistake."""

    mutation: Mutation
    caught: tuple[str, ...]
    silent: tuple[str, ...]  # named in the table, and noticed nothing
    problem: str  # why the tests could not run; empty: they did
    duration_s: float

    @property
    def fine(self) -> bool:
        return bool(self.caught) and not self.silent and not self.problem


def main() -> None:
    parser = argparse.ArgumentParser(prog="make teeth ARGS=...", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2, help="mistakes at a time (default 2)")
    parser.add_argument("--only", default="", help="those with this in their name or file")
    parser.add_argument(
        "--all", action="store_true", help="run all unit tests on each: who else would notice?"
    )
    options = parser.parse_args()
    chosen = [m for m in read_all() if options.only in m.name or options.only in m.file]
    if not chosen:
        sys.exit(f"no mistake has {options.only!r} in its name or file")
    with tempfile.TemporaryDirectory(prefix="woodpecker-teeth-") as name:
        verdicts = asyncio.run(judged(chosen, Path(name), options.jobs, everything=options.all))
    bad = [verdict for verdict in verdicts if not verdict.fine]
    say(f"\n{len(verdicts) - len(bad)} of {len(verdicts)} mistakes caught by all who should")
    if bad:
        sys.exit(1)


async def judged(
    mutations: Sequence[Mutation], folder: Path, jobs_count: int, *, everything: bool
) -> list[Verdict]:
    """All verdicts, in the order of the table; each is shown when it is there."""
    trees: asyncio.Queue[Tree] = asyncio.Queue()
    for number in range(jobs_count):
        (folder / str(number)).mkdir()
        trees.put_nowait(Tree(folder / str(number)))
    tree = await trees.get()
    named = sorted({test for mutation in mutations for test in mutation.caught_by})
    healthy = await asyncio.to_thread(tree.test, named)
    if healthy.failed or not healthy.completed:
        sys.exit(f"without any mistake:\n{healthy.output}")
    say(f"{len(named)} tests pass without a mistake\n")
    trees.put_nowait(tree)

    async def judge(mutation: Mutation) -> Verdict:
        tree = await trees.get()
        try:
            verdict = await asyncio.to_thread(_judge, mutation, tree, everything)
        finally:
            trees.put_nowait(tree)
        show(verdict)
        return verdict

    return list(await asyncio.gather(*map(judge, mutations)))


def _judge(mutation: Mutation, tree: Tree, everything: bool) -> Verdict:
    loop = asyncio.new_event_loop()  # for its clock
    begun_s = loop.time()
    with tree.mutated(mutation):
        run = tree.test(ALL_UNIT_TESTS if everything else mutation.caught_by)
    duration_s = loop.time() - begun_s
    loop.close()
    silent = tuple(test for test in mutation.caught_by if test not in run.failed)
    problem = "" if run.completed else run.output[-2_000:]
    return Verdict(mutation, tuple(sorted(run.failed)), silent, problem, duration_s)


def show(verdict: Verdict) -> None:
    mutation = verdict.mutation
    word = "caught" if verdict.fine else "NOT CAUGHT" if not verdict.caught else "STALE"
    say(f"{word:<11}{mutation.promise:<4}{mutation.name}  ({verdict.duration_s:.0f} s)")
    for test in verdict.caught:
        say(f"{'':15}{test}")
    for test in verdict.silent:
        say(f"{'':15}{test}  noticed nothing")
    if verdict.problem:
        say(verdict.problem)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
