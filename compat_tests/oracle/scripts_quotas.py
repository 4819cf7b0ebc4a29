"""Quotas of clients: what is set, what is refused, what filters find."""

from __future__ import annotations

from typing import Any

from compat_tests.oracle.script import each, script
from compat_tests.oracle.side import Side

DESCRIBE, ALTER = 1, 1
RATE, CONSUMED, PERCENT = "producer_byte_rate", "consumer_byte_rate", "request_percentage"
MUTATIONS, CONNECTIONS = "controller_mutation_rate", "connection_creation_rate"
MINE = "(mine)"  # stands for a name of the script's own
EXACT, DEFAULT, SPECIFIED = range(3)
HIGH = 1e12  # slows nobody down

Names = list[tuple[str, str | None]]
Ops = list[tuple[str, float | None]]


def alter(side: Side, names: Names, ops: Ops, *, version: int = ALTER, **fields: Any) -> None:
    side.ask("AlterClientQuotas", version, entries=[entry(names, ops)], **fields)
    side.settle()


def entry(names: Names, ops: Ops) -> dict[str, Any]:
    return {
        "entity": [{"entity_type": kind, "entity_name": name} for kind, name in names],
        "ops": [{"key": k, "value": v or 0.0, "remove": v is None} for k, v in ops],
    }


def describe(
    side: Side,
    *components: tuple[str, int, str | None],
    strict: bool = False,
    version: int = DESCRIBE,
) -> None:
    asked = [
        {"entity_type": kind, "match_type": how, "match": name} for kind, how, name in components
    ]
    side.ask("DescribeClientQuotas", version, components=asked, strict=strict)


def forget(side: Side, *entities: Names) -> None:
    gone: Ops = [(key, None) for key in (RATE, CONSUMED, PERCENT, MUTATIONS)]
    side.quietly("AlterClientQuotas", ALTER, entries=[entry(names, gone) for names in entities])
    side.settle()


A: Names = [("client-id", MINE)]
CHANGES: dict[str, tuple[Names, Ops]] = {
    "of a client": (A, [(RATE, 1000.0)]),
    "of a client of a user": (
        [("client-id", MINE), ("user", MINE)],
        [(RATE, 4e3), (CONSUMED, 5.0)],
    ),
    "of a user": ([("user", MINE)], [(PERCENT, 1.5)]),
    "of no user": ([("user", "")], [(RATE, 10.0)]),
    "of no client": ([("client-id", "")], [(RATE, 10.0)]),
    "of nobody": ([], [(RATE, 10.0)]),
    "of an unknown kind": ([("group", MINE)], [(RATE, 10.0)]),
    "of an empty kind": ([("", MINE)], [(RATE, 10.0)]),
    "of an address of a user": ([("ip", "127.0.0.2"), ("user", MINE)], [(CONNECTIONS, 10.0)]),
    "of bytes from an address": ([("ip", "127.0.0.3")], [(RATE, 10.0)]),
    "of connections of a client": (A, [(CONNECTIONS, 10.0)]),
    "unknown": (A, [("no_such", 10.0)]),
    "unknown, taken away": (A, [("no_such", None)]),
    "taken away that is not there": (A, [(RATE, None)]),
    "of nothing": (A, []),
    "fraction": (A, [(RATE, 1.5)]),
    "below 0": (A, [(RATE, -1.0)]),
    "a fraction below 0": (A, [(RATE, -1.5)]),
    "0": (A, [(RATE, 0.0)]),
    "0 percent": (A, [(PERCENT, 0.0)]),
    "infinity": (A, [(RATE, float("inf"))]),
    "too large": (A, [(RATE, 1e30)]),
    "no number": (A, [(RATE, float("nan"))]),
    "one good, one bad": (A, [(CONSUMED, 10.0), (RATE, 0.0)]),
    "one thing twice": (A, [(RATE, 10.0), (RATE, 20.0)]),
    "set and taken away": (A, [(RATE, 10.0), (RATE, None)]),
    "of changes of topics": (A, [(MUTATIONS, 1.5)]),
    "of connections of an address": ([("ip", "127.0.0.4")], [(CONNECTIONS, 10.0)]),
}


@each("quota: {}", CHANGES)
def change(side: Side, what: str) -> None:
    mine = side.new_name()
    names = [(kind, mine if name == MINE else name) for kind, name in CHANGES[what][0]]
    ops = CHANGES[what][1]
    side.ask("AlterClientQuotas", ALTER, entries=[entry(names, ops)], validate_only=True)
    alter(side, names, ops)
    describe(side, ("client-id", EXACT, mine))
    describe(side, ("user", EXACT, mine))
    forget(side, names)


@script("quotas: in every version")
def in_every_version(side: Side) -> None:
    mine: Names = [("client-id", side.new_name())]
    for version in side.served("AlterClientQuotas"):
        alter(side, mine, [(RATE, HIGH + version), (PERCENT, 1e6)], version=version)
        for asked in side.served("DescribeClientQuotas"):
            describe(side, ("client-id", EXACT, mine[0][1]), version=asked)
        alter(side, mine, [(RATE, None)], version=version)
        describe(side, ("client-id", EXACT, mine[0][1]))
    forget(side, mine)


@script("quotas: filters")
def filters(side: Side) -> None:
    one, other = side.new_name(), side.new_name()
    entities: list[Names] = [
        [("client-id", one)],
        [("client-id", other)],
        [("client-id", None)],
        [("user", one)],
        [("client-id", one), ("user", one)],
        [("client-id", None), ("user", None)],
    ]
    side.quietly(
        "AlterClientQuotas", ALTER, entries=[entry(names, [(RATE, HIGH)]) for names in entities]
    )
    side.settle()
    asked: list[list[tuple[str, int, str | None]]] = [
        [],
        [("client-id", EXACT, one)],
        [("client-id", DEFAULT, None)],
        [("client-id", SPECIFIED, None)],
        [("user", SPECIFIED, None)],
        [("user", DEFAULT, None)],
        [("user", EXACT, one), ("client-id", SPECIFIED, None)],
        [("client-id", EXACT, one + "-missing")],
        [("ip", SPECIFIED, None)],
    ]
    for components in asked:
        for strict in (False, True):
            describe(side, *components, strict=strict)
    forget(side, *entities)
    describe(side, ("client-id", DEFAULT, None))


WRONG_FILTERS: dict[str, list[tuple[str, int, str | None]]] = {
    "an unknown kind": [("group", EXACT, "x")],
    "an empty kind": [("", EXACT, "a")],
    "an unknown way": [("client-id", 3, "x")],
    "exactly null": [("client-id", EXACT, None)],
    "a default with a name": [("client-id", DEFAULT, "x")],
    "any with a name": [("client-id", SPECIFIED, "x")],
    "one kind twice": [("client-id", EXACT, "a"), ("client-id", DEFAULT, None)],
    "addresses of users": [("ip", SPECIFIED, None), ("user", SPECIFIED, None)],
}


@each("quotas: filter by {}", WRONG_FILTERS)
def wrong_filter(side: Side, what: str) -> None:
    for version in side.served("DescribeClientQuotas"):
        describe(side, *WRONG_FILTERS[what], version=version)
