"""Cycles in a graph of operations (Tarjan's strongly connected components, without recursion)."""

from collections.abc import Iterable, Iterator

from gateway.verify.model import Op


def cycles(edges: Iterable[tuple[Op, Op, str]]) -> Iterator[tuple[list[Op], str]]:
    """The operations of each component with more than one, and a key on which two of them meet."""
    following: dict[int, list[int]] = {}
    ops: dict[int, Op] = {}
    names: dict[tuple[int, int], str] = {}
    for a, b, name in edges:
        ops[a.line], ops[b.line] = a, b
        following.setdefault(a.line, []).append(b.line)
        names.setdefault((a.line, b.line), name)
    for component in _components(following):
        inside = set(component)
        begin = component[0]
        end = next(line for line in following[begin] if line in inside)
        yield [ops[line] for line in component], names[begin, end]


def _components(following: dict[int, list[int]]) -> Iterator[list[int]]:
    """Components of at least two nodes."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    stacked: set[int] = set()
    for root, children in following.items():
        if root in index:
            continue
        walk = [(root, iter(children))]
        index[root] = low[root] = len(index)
        stack.append(root)
        stacked.add(root)
        while walk:
            node, rest = walk[-1]
            child = next((c for c in rest if c not in index or c in stacked), None)
            if child is None:
                walk.pop()
                if walk:
                    above = walk[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    component = _cut(stack, node)
                    stacked.difference_update(component)
                    if len(component) > 1:
                        yield component
            elif child in index:
                low[node] = min(low[node], index[child])
            else:
                index[child] = low[child] = len(index)
                stack.append(child)
                stacked.add(child)
                walk.append((child, iter(following.get(child, ()))))


def _cut(stack: list[int], node: int) -> list[int]:
    """Take everything from `node` up off the stack."""
    at = len(stack) - 1 - stack[::-1].index(node)
    taken = stack[at:]
    del stack[at:]
    return taken
