"""Keys of what the broker remembers: each kind told from the others, and nothing guessed."""

import pytest

from gateway.broker import state_keys
from gateway.broker.state_keys import KeyKind
from wal_core import Corrupt

ID = bytes(range(16))
LARGEST = (1 << 64) - 1


def test_every_key_tells_its_kind_and_whose_it_is() -> None:
    keys = {
        KeyKind.CLUSTER: state_keys.CLUSTER,
        KeyKind.TOPIC: state_keys.topic(ID),
        KeyKind.TOMBSTONE: state_keys.tombstone(ID),
        KeyKind.CONFIGS: state_keys.configs("group", "g"),
        KeyKind.NEXT_STREAM: state_keys.next_stream(LARGEST),
        KeyKind.OPENED: state_keys.opened(LARGEST),
        KeyKind.PARTITION: state_keys.partition(LARGEST),
        KeyKind.PRODUCER: state_keys.producer(LARGEST, 7),
        KeyKind.GROUP_RECORD: state_keys.group_record(b"record"),
    }
    assert {state_keys.kind_of(key): key for key in keys.values()} == keys
    assert set(keys) == set(KeyKind)
    for kind in (KeyKind.TOPIC, KeyKind.TOMBSTONE):
        assert keys[kind][1:] == ID
    assert state_keys.configured(keys[KeyKind.CONFIGS]) == ("group", "g")
    for kind in (KeyKind.NEXT_STREAM, KeyKind.OPENED, KeyKind.PARTITION, KeyKind.PRODUCER):
        assert state_keys.number_of(keys[kind]) == LARGEST
    assert state_keys.producer_of(keys[KeyKind.PRODUCER]) == 7


def test_producers_of_one_stream_lie_together() -> None:
    """In the order of keys, as numbers are ordered: what is stored is read by a person, too."""
    keys = [state_keys.producer(stream, producer) for stream in (1, 256) for producer in (0, 300)]
    assert sorted(keys) == keys


@pytest.mark.parametrize("key", [b"", b"?", b"\x00", b"P12345678"])
def test_an_unknown_kind_is_of_a_newer_release(key: bytes) -> None:
    with pytest.raises(Corrupt, match="newer release"):
        state_keys.kind_of(key)


@pytest.mark.parametrize("key", [b"", b"p", state_keys.partition(5)[:-1]])
def test_a_key_that_is_cut_names_nothing(key: bytes) -> None:
    with pytest.raises(Corrupt, match="names no stream"):
        state_keys.number_of(key)
    for other in (key, state_keys.partition(5), state_keys.producer(5, 7) + b"x"):
        with pytest.raises(Corrupt, match="names no producer"):
            state_keys.producer_of(other)


def test_the_next_stream_is_eight_bytes() -> None:
    assert state_keys.decode_stream_id(state_keys.encode_stream_id(LARGEST)) == LARGEST
    for value in (None, b"", bytes(7), bytes(9)):
        with pytest.raises(Corrupt, match="next stream id"):
            state_keys.decode_stream_id(value)
