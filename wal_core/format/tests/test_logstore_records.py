"""An identity, a promise and a final: whole or Corrupt, and what the page says of them."""

from __future__ import annotations

import pytest

from wal_core.errors import Corrupt
from wal_core.format import logstore_records as records
from wal_core.format.logstore_records import (
    Final,
    Identity,
    Promise,
    encode_final,
    encode_identity,
    encode_promise,
    parse_final,
    parse_identity,
    parse_promise,
)
from wal_core.format.tests.test_block import layout_of
from wal_core.format.tests.test_sealed_index import example

PROMISE = Promise(1, bytes(range(16, 32)), 7, bytes(range(16)))
FINAL = Final(1, 4, 8, 2, b"footer")
IDENTITY = Identity(bytes(range(16)), "AQIDBAUGRwiJCgsMDQ4PEA")


@pytest.mark.parametrize(
    ("stored", "parse", "said"),
    [
        (encode_identity(IDENTITY), parse_identity, IDENTITY),
        (encode_identity(Identity(bytes(16), "")), parse_identity, Identity(bytes(16), "")),
        (encode_promise(PROMISE), parse_promise, PROMISE),
        (encode_final(FINAL), parse_final, FINAL),
        (encode_final(FINAL._replace(footer=b"")), parse_final, FINAL._replace(footer=b"")),
    ],
    ids=["identity", "identity of no cluster", "promise", "final", "final without a footer"],
)
def test_it_comes_back_and_any_damage_is_told(stored, parse, said):
    assert parse(stored) == said
    for at in range(len(stored)):
        damaged = bytearray(stored)
        damaged[at] ^= 1
        for wrong in (damaged, stored[:at]):
            with pytest.raises(Corrupt):
                parse(wrong)
    with pytest.raises(Corrupt):
        parse(stored + b"x")


# -- FORMAT.md --------------------------------------------------------------------------------


def test_the_tables_are_the_layouts():
    assert layout_of("identity") == records._IDENTITY_HEAD.format
    assert layout_of("promise") == records._PROMISE.format
    assert layout_of("final") == records._FINAL_HEAD.format


def test_the_worked_examples_say_what_the_page_says():
    assert parse_identity(example("identity")) == IDENTITY
    assert parse_promise(example("promise")) == PROMISE
    assert parse_final(example("final")) == FINAL
