"""Where the tail of a log begins: one after the other, by one who was first."""

from __future__ import annotations

import pytest

from wal_core.errors import Corrupt, Fenced, Invalid
from wal_core.quorum.pointers import Pointer, Pointers, decode_pointer, encode_pointer
from wal_core.quorum.tests.test_members import ENSEMBLE
from wal_core.stores.objects.memory import MemoryStore

A, B = b"a" * 16, b"b" * 16


def pointer(number: int, *, term: int = 1, segment: int = 0) -> Pointer:
    return Pointer(number=number, term=term, segment=segment, ensemble=ENSEMBLE)


async def test_the_newest_counts_and_a_number_has_one_owner():
    bucket = MemoryStore()
    a, b = Pointers(bucket, 3, A), Pointers(bucket, 3, B)
    assert await a.newest() is None
    await a.commit(pointer(0))
    await a.commit(pointer(0))  # once more, as after a lost reply
    with pytest.raises(Fenced):
        await b.commit(pointer(0, term=2))
    await b.commit(pointer(1, term=2, segment=7))
    assert await a.newest() == pointer(1, term=2, segment=7)
    assert await Pointers(bucket, 4, A).newest() is None


async def test_old_ones_go_and_cannot_be_made_anew():
    bucket = MemoryStore()
    a = Pointers(bucket, 3, A)
    for number in range(30):
        await a.commit(pointer(number))
    assert len(bucket.objects) == 8
    with pytest.raises(Fenced, match="moved the pointer"):
        await Pointers(bucket, 3, B).commit(pointer(4, term=2))
    assert await a.newest() == pointer(29)


async def test_damage_is_told():
    bucket = MemoryStore()
    a = Pointers(bucket, 3, A)
    await a.commit(pointer(0))
    (key,) = bucket.objects
    bucket.objects[key] = bucket.objects[key][:-1]
    with pytest.raises(Corrupt):
        await a.newest()


def test_its_bytes_say_their_version():
    payload = encode_pointer(pointer(5, term=6, segment=7))
    assert decode_pointer(payload) == pointer(5, term=6, segment=7)
    with pytest.raises(Invalid, match="version 2"):
        decode_pointer(payload.replace(b'"version":1', b'"version":2'))
    for damaged in (b"", b"{}", payload[:-1], payload.replace(b'"term":6', b'"term":"x"')):
        with pytest.raises(Corrupt):
            decode_pointer(damaged)
