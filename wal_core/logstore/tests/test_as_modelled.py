"""A logstore takes and refuses what the model's does, in every state that the model reaches.

The model says that its rules suffice; that is worth something here if the code keeps the same ones.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wal_core.errors import WalError
from wal_core.format.block import parse_header
from wal_core.format.logstore_records import Final, Promise
from wal_core.logstore.held import Held, HeldLog
from wal_core.logstore.tests.logstores import LOG, block
from wal_core.testing.explorer import explore
from wal_core.testing.quorum_model import values
from wal_core.testing.quorum_model.logstore import Logstore
from wal_core.testing.quorum_model.quorum_model import QuorumModel
from wal_core.testing.quorum_model.rules import Bounds
from wal_core.testing.quorum_model.runs import RUNS

BIRTH = b"birth" * 3 + b"."
TERMS = {"": 0, "a": 1, "b": 2, "c": 2, "z": 99}
"""z is who opens the log next, in the model's checks."""
Act = tuple[values.Disk, str, int, values.Final]
"""Who proposes which final of which segment to a logstore that has what."""


def acts_of(bounds: Bounds, monkeypatch: pytest.MonkeyPatch) -> set[Act]:
    """All that a run asks for, by what each logstore holds then."""
    seen: set[Act] = set()
    accept = Logstore.accept

    def noted(
        self: Logstore, disk: values.Disk, name: str, segment: int, final: values.Final
    ) -> values.Disk | None:
        bare = disk._replace(name="", presence=values.HERE, ensembles="", heard=())
        seen.add((bare, name, segment, final))
        return accept(self, disk, name, segment, final)

    with monkeypatch.context() as patched:
        patched.setattr(Logstore, "accept", noted)
        assert explore(QuorumModel(bounds)).complete
    return seen


def nonce(name: str) -> bytes:
    return name.encode() * 16


def taken(segment: int, number: int, entry: str) -> bytes:
    return block(number, segment=segment, nonce=nonce(entry[0]), payload=entry.encode())


def real(final: values.Final, segment: int) -> Final:
    return Final(LOG, segment, final.term, final.end, (final.by + final.ensemble).encode())


def held_as(disk: values.Disk) -> HeldLog:
    log = HeldLog(Promise(LOG, BIRTH, TERMS[disk.promised], nonce(disk.promised)))
    for number, (blocks, final) in enumerate(disk.segments):
        held = log.segments[number] = Held()
        for at, entry in enumerate(blocks):
            held.take(parse_header(taken(number, at, entry)))
        held.stored_count = len(blocks)
        held.final = real(final, number) if final != values.NO_FINAL else None
    return log


def does(act: Callable[[], object]) -> bool:
    try:
        act()
    except WalError:
        return False
    return True


def takes(log: HeldLog, name: str, stored: bytes) -> bool:
    """Whether a block is new and next."""
    header = parse_header(stored)

    def act() -> None:
        log.check_promised(TERMS[name], nonce(name))
        log.check_block(header)

    held = log.segments.get(header.segment) or Held()
    return does(act) and header.block == held.taken_count


def ends(log: HeldLog, name: str, final: Final) -> bool:
    def act() -> None:
        log.check_promised(TERMS[name], nonce(name))
        log.check_final(final)

    return does(act)


@pytest.mark.parametrize(
    "bounds", [Bounds(rolls_max=1), RUNS["newcomer"]], ids=["roll", "newcomer"]
)
def test_a_logstore_decides_as_the_model_does(
    bounds: Bounds, monkeypatch: pytest.MonkeyPatch
) -> None:
    modelled = Logstore(TERMS, frozenset())
    acts = acts_of(bounds, monkeypatch)
    for disk, name, segment, final in acts:
        log = held_as(disk)
        expected = modelled.accept(disk, name, segment, final) is not None
        assert ends(log, name, real(final, segment)) == expected, (disk, name, segment, final)
    for disk in {act[0] for act in acts}:
        log = held_as(disk)
        for name in "abcz":
            promised = does(lambda name=name, log=log: log.check_promise(TERMS[name], nonce(name)))
            assert promised == (modelled.promise(disk, name) is not None), (disk, name)
            for segment in range(3):
                blocks = disk.segment(segment).blocks
                entry = blocks[0] if blocks else f"{name}0"
                for at in range(len(blocks), len(blocks) + 2):
                    expected = modelled.append(disk, name, segment, at, entry) is not None
                    stored = taken(segment, at, entry)
                    assert takes(log, name, stored) == expected, (disk, name, segment, at)
    assert len(acts) > 100
