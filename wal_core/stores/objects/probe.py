"""Can this very store be trusted with a log? Asked at every start, of the store itself.

Documentation does not answer it: stores that claim conditional writes have let several writers
win, for some keys, behind some load balancer, since some release. A log whose slots can be
overwritten loses acknowledged records without anybody noticing, so a store that fails is refused.

About forty small requests in five rounds, each round in parallel: a start waits five round trips
longer and costs 0.0002 dollars on S3. The result is not remembered: what answers at an
address can be another program tomorrow. Everything is created under `.probe/` (names with a
leading dot are not part of the format) and removed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any, NamedTuple

from wal_core.clock import Clock, Rng
from wal_core.errors import Invalid, Unavailable, WalError
from wal_core.stores.objects.base import AlreadyExists, NotFound, ObjectStore

FOLDER = ".probe/"
RACERS_COUNT = 16
SKEW_WARN_MS = 60_000
"""Nothing depends on clocks agreeing but what people read; and S3 refuses 15 minutes."""
LEFTOVER_AGE_MS = 3_600_000
_LEFTOVERS_MAX_COUNT = 100
_RACE, _DOOMED = "race", "doomed"
_LISTED = ("a/1", "a/10", "a/2", "a0")  # in the order of their bytes
_PART_START, _PART_BYTES = 1, 32


class Check(NamedTuple):
    """One property of the store: what was looked at, whether it holds, and if not, why."""

    name: str
    passed: bool
    problem: str = ""
    warning: bool = False
    """Not passed, but nothing that safety depends on."""


class _Facts(NamedTuple):
    """Who was told to have won the race, and everything read back."""

    bodies: list[bytes]
    winners: list[bytes]
    all_told: bool  # every racer got a clear answer
    again: bool  # a create over the existing object was accepted
    whole: bytes | None  # the raced object, after that
    part: bytes | None
    size: int | None
    rows: Sequence[str]
    rows_after: Sequence[str]
    modified_ms: int
    left: bytes | None  # of the deleted object


async def probe(objects: ObjectStore, *, clock: Clock, rng: Rng) -> list[Check]:
    """Every check with its outcome.

    Raises Unavailable when the store did not answer everything (the call may be repeated) and
    Invalid when it refuses us.
    """
    folder = f"{FOLDER}{rng.random_bytes(8).hex()}/"
    try:
        facts = await _gather_facts(objects, folder, rng)
    finally:
        await _clean(objects, folder)
    return _judge(facts, clock.now_ms())


async def demand_trust(objects: ObjectStore, *, clock: Clock, rng: Rng) -> list[Check]:
    """`probe`, but raises Invalid with one sentence if the store cannot hold a log."""
    checks = await probe(objects, clock=clock, rng=rng)
    failed = [check for check in checks if not check.passed and not check.warning]
    if failed:
        raise Invalid(f"{objects.location} cannot hold a log: {failed[0].problem}")
    return checks


async def _gather_facts(objects: ObjectStore, folder: str, rng: Rng) -> _Facts:
    race, doomed = folder + _RACE, folder + _DOOMED
    # Large enough for the answer to one to overlap the upload of another.
    bodies = [bytes([n]) + rng.random_bytes(32) * 32 for n in range(RACERS_COUNT)]
    outcomes = await _all(
        *(_outcome(objects.create(race, [body])) for body in bodies),
        *(_settle(objects, folder + key) for key in reversed(_LISTED)),
        _settle(objects, doomed),
    )
    raced = outcomes[:RACERS_COUNT]
    again, _ = await _all(_outcome(objects.create(race, [b"again"])), objects.delete(doomed))
    whole, part, size, rows, rows_after, left = await _all(
        _read(objects, race, 0, None),
        _read(objects, race, _PART_START, _PART_BYTES),
        objects.size(race),
        objects.list(f"{folder}a"),
        objects.list(f"{folder}a", start_after=f"{folder}a/10"),
        _read(objects, doomed, 0, None),
    )
    return _Facts(
        bodies=bodies,
        winners=[body for body, won in zip(bodies, raced, strict=True) if won],
        all_told=None not in raced,
        again=again is True,
        whole=whole,
        part=part,
        size=size,
        rows=[row.key.removeprefix(folder) for row in rows],
        rows_after=[row.key.removeprefix(folder) for row in rows_after],
        modified_ms=max((row.modified_ms for row in rows), default=0),
        left=left,
    )


async def _all(*calls: Awaitable[Any]) -> list[Any]:
    """Every result; the first error, but not before all are over: what is still on its way could
    not be cleaned up.
    """
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def _outcome(create: Awaitable[None]) -> bool | None:
    """True: created; False: told that it exists; None: nobody knows."""
    try:
        await create
    except AlreadyExists:
        return False
    except Unavailable:
        return None
    return True


async def _settle(objects: ObjectStore, key: str) -> None:
    """For names nobody else uses: "exists" is our own success, its reply lost, unless it is the
    "conflict" of some stores, which leaves nothing.
    """
    try:
        await objects.create(key, [key.encode()])
    except AlreadyExists:
        if await objects.size(key) is None:
            raise Unavailable("a create of the probe met another one that left nothing") from None


async def _read(objects: ObjectStore, key: str, start: int, length: int | None) -> bytes | None:
    try:
        return bytes(await objects.get_range(key, start, length))
    except NotFound:
        return None


def _judge(facts: _Facts, now_ms: int) -> list[Check]:
    winners, whole = facts.winners, facts.whole
    if not winners and not (facts.all_told and whole in facts.bodies):
        # Replies were lost. (All told "exists" is fine: the library repeats a create by itself,
        # and so may have met its own success.)
        raise Unavailable("the store did not answer well enough to judge it")
    won = winners[0] if winners else whole
    checks = [
        _check(
            "one of many concurrent creates wins",
            len(winners) <= 1,
            f"{len(winners)} of {RACERS_COUNT} concurrent creates of one object were told that "
            "they won; it needs conditional writes (If-None-Match) that hold under concurrency",
        ),
        _check(
            "an existing object is never overwritten",
            not facts.again and (whole == won or whole not in (b"again", *facts.bodies)),
            "a create over an existing object went through; it needs conditional writes "
            "(If-None-Match), which the store or something in front of it ignores",
        ),
        _check(
            "what was written is read at once, whole and in part",
            whole in (b"again", *facts.bodies)
            and facts.part == whole[_PART_START : _PART_START + _PART_BYTES]
            and facts.size == len(whole),
            "it returned other bytes than were just written, or others than were asked for",
        ),
        _check(
            "listings are complete and ordered",
            list(facts.rows) == list(_LISTED) and list(facts.rows_after) == list(_LISTED[2:]),
            f"it listed {', '.join(facts.rows) or 'nothing'} and, from the third on, "
            f"{', '.join(facts.rows_after) or 'nothing'}, where {', '.join(_LISTED)} had just "
            "been written",
        ),
        _check(
            "a deleted object is gone",
            facts.left is None,
            "an object that was just deleted is still there",
        ),
    ]
    if facts.modified_ms:
        skew_ms = facts.modified_ms - now_ms
        ahead = "ahead of" if skew_ms > 0 else "behind"
        said = (
            f"the store's clock is {abs(skew_ms) / 1000:.0f} s {ahead} this machine's; "
            "set this machine's clock"
        )
        agree = abs(skew_ms) < SKEW_WARN_MS
        checks.append(Check("the clocks agree", agree, "" if agree else said, warning=True))
    return checks


def _check(name: str, passed: bool, problem: str) -> Check:
    return Check(name, passed, "" if passed else problem)


async def _clean(objects: ObjectStore, folder: str) -> None:
    """Remove our objects, and those that a probe cut short left an hour ago or earlier."""
    try:
        rows = await objects.list(FOLDER)
        newest_ms = max((row.modified_ms for row in rows), default=0)
        old = [
            row.key
            for row in rows
            if row.modified_ms and row.modified_ms < newest_ms - LEFTOVER_AGE_MS
        ]
        ours = [row.key for row in rows if row.key.startswith(folder)]
        # A listing that lacks something must not make us leave it.
        ours += [folder + key for key in (_RACE, _DOOMED, *_LISTED) if folder + key not in ours]
        await asyncio.gather(*map(objects.delete, ours + old[:_LEFTOVERS_MAX_COUNT]))
    except WalError:
        pass  # the next probe cleans up
