import pytest

from gateway.broker import state_keys
from gateway.broker.metadata_records import ConfigsChanged
from gateway.broker.stored_configs import BYTES_MAX, StoredConfigs
from wal_core import Changes, Corrupt


def _changed(name: str, **configs: str) -> ConfigsChanged:
    return ConfigsChanged(kind="broker", name=name, configs=configs)


def test_what_is_set_for_one_broker_comes_before_what_is_for_all() -> None:
    stored = StoredConfigs(Changes())
    stored.apply(_changed("", a="1", b="1"))
    stored.apply(_changed("7", b="2"))
    assert stored.of_broker(7) == {"a": "1", "b": "2"}
    assert stored.of_broker(8) == {"a": "1", "b": "1"}
    stored.apply(_changed("7"))
    assert stored.of_broker(7) == {"a": "1", "b": "1"}
    assert list(stored.names("broker")) == [""]


def test_who_watches_sees_what_is_new() -> None:
    stored, seen = StoredConfigs(Changes()), []
    stored.watch(lambda _: seen.append(dict(stored.of("broker", ""))))
    stored.apply(_changed("", a="1"))
    stored.forget(state_keys.configs("broker", ""))
    assert seen == [{"a": "1"}, {}]


def test_what_all_take_is_counted_and_bounded() -> None:
    stored = StoredConfigs(Changes())
    large = ConfigsChanged(kind="group", name="g", configs={"a": "x" * (BYTES_MAX - 1_000)})
    stored.apply(large)
    another = ConfigsChanged(kind="group", name="h", configs={"a": "x" * 1_000})
    assert not stored.has_room_for(another)
    assert stored.has_room_for(large)
    assert stored.has_room_for(ConfigsChanged(kind="group", name="g", configs={}))
    stored.apply(ConfigsChanged(kind="group", name="g", configs={}))
    assert stored.bytes_count == 0
    assert stored.has_room_for(another)


def test_each_has_a_key_and_a_record() -> None:
    changes = Changes()
    stored = StoredConfigs(changes)
    record = ConfigsChanged(kind="group", name="gé", configs={"a": "1"})
    stored.apply(record)
    (key,) = changes.keys()
    assert key == b"rgg\xc3\xa9"
    assert stored.record(key) == record
    assert stored.record(b"rgother") is None


@pytest.mark.parametrize("key", [b"r", b"rx1", b"rg\xff"])
def test_keys_that_name_nothing_are_refused(key: bytes) -> None:
    with pytest.raises(Corrupt):
        StoredConfigs(Changes()).record(key)
