"""Passwords where nobody has one: who looks for them, and what is wrong with those to be kept."""

from __future__ import annotations

from collections.abc import Sequence

from compat_tests.oracle.script import each, script
from compat_tests.oracle.side import Side

DESCRIBE, ALTER = "DescribeUserScramCredentials", "AlterUserScramCredentials"
SHA_256, SHA_512 = 1, 2
FEWEST, MOST = 4_096, 16_384
Users = Sequence[tuple[str, int]]

GONE: dict[str, Users] = {
    "nobody's": [("a", SHA_256)],
    "of no name": [("", SHA_256)],
    "of no mechanism": [("a", 0), ("b", 3)],
    "of no name and no mechanism": [("", 9)],
    "named twice": [("a", SHA_256), ("a", SHA_256)],
    "of both mechanisms": [("a", SHA_256), ("a", SHA_512)],
}
REFUSED: dict[str, Users] = {
    "with too few rounds": [("a", FEWEST - 1)],
    "with too many rounds": [("a", MOST + 1)],
    "of no name": [("", FEWEST)],
    "of one user twice": [("a", FEWEST), ("a", FEWEST)],
}


def upsertion(name: str, iterations: int, mechanism: int = SHA_256) -> dict[str, object]:
    return {
        "name": name,
        "mechanism": mechanism,
        "iterations": iterations,
        "salt": b"salt",
        "salted_password": b"password",
    }


@script("passwords: looked for")
def looked_for(side: Side) -> None:
    for users in (["a"], [""], ["a", "b"], ["a", "a"]):
        side.ask(DESCRIBE, 0, users=[{"name": name} for name in users])


@each("passwords: {} taken away", GONE)
def taken_away(side: Side, what: str) -> None:
    gone = [{"name": name, "mechanism": mechanism} for name, mechanism in GONE[what]]
    side.ask(ALTER, 0, deletions=gone)


@each("passwords: {} to be kept", REFUSED)
def refused(side: Side, what: str) -> None:
    side.ask(ALTER, 0, upsertions=[upsertion(*user) for user in REFUSED[what]])


@script("passwords: of no mechanism to be kept")
def of_no_mechanism(side: Side) -> None:
    side.ask(ALTER, 0, upsertions=[upsertion("a", FEWEST, 0), upsertion("b", FEWEST, 3)])


@script("passwords: away and to be kept")
def away_and_kept(side: Side) -> None:
    gone = [{"name": "a", "mechanism": SHA_256}]
    side.ask(ALTER, 0, deletions=gone, upsertions=[upsertion("a", FEWEST)])


@script("passwords: one that Kafka keeps")
def kept(side: Side) -> None:
    name = side.new_name()
    side.ask(ALTER, 0, upsertions=[upsertion(name, FEWEST)])
    side.settle()
    side.quietly(ALTER, 0, deletions=[{"name": name, "mechanism": SHA_256}])
    side.settle()
