import random  # noqa: TID251 - seeded

import pytest

from gateway.verify.checks.cycles import cycles
from gateway.verify.model import How, Op

OPS = [Op(line, "p", How("txn")) for line in range(12)]


def components(pairs: set[tuple[int, int]]) -> set[frozenset[int]]:
    found = cycles((OPS[a], OPS[b], f"{a}-{b}") for a, b in sorted(pairs))
    return {frozenset(op.line for op in ops) for ops, _ in found}


def by_reachability(pairs: set[tuple[int, int]]) -> set[frozenset[int]]:
    """The same, slowly: nodes that reach each other."""
    reach = {(a, a) for a in range(len(OPS))} | pairs
    for middle in range(len(OPS)):
        for a in range(len(OPS)):
            for b in range(len(OPS)):
                if (a, middle) in reach and (middle, b) in reach:
                    reach.add((a, b))
    mutual = {
        frozenset(b for b in range(len(OPS)) if (a, b) in reach and (b, a) in reach)
        for a in range(len(OPS))
    }
    return {component for component in mutual if len(component) > 1}


@pytest.mark.parametrize("seed", range(60))
def test_components_are_those_that_reach_each_other(seed: int) -> None:
    draw = random.Random(seed)
    pairs = {
        (a, b)
        for a, b in (draw.choices(range(len(OPS)), k=2) for _ in range(draw.randint(0, 24)))
        if a != b
    }
    assert components(pairs) == by_reachability(pairs)


def test_a_long_chain_needs_no_stack() -> None:
    ops = [Op(line, "p", How("txn")) for line in range(20_000)]
    edges = [(a, b, "k") for a, b in zip(ops, [*ops[1:], ops[0]], strict=True)]
    ((found, name),) = cycles(edges)
    assert (len(found), name) == (20_000, "k")
    assert list(cycles(edges[:-1])) == []


def test_a_cycle_names_a_key_on_it() -> None:
    edges = [(0, 1, "outside"), (1, 2, "in-1"), (2, 1, "in-2"), (2, 3, "outside")]
    ((_, name),) = cycles((OPS[a], OPS[b], name) for a, b, name in edges)
    assert name in ("in-1", "in-2")
