"""What is set on brokers, groups and clients while the gateway runs. Topics have their own.

A pure function of the catalog's records (METADATA.md), like the topics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from gateway.broker import state_keys
from gateway.broker.metadata_records import ConfigsChanged, ConfiguredKind
from wal_core import Changes

ALL_BROKERS = ""
"""Name of what holds for each broker that says nothing itself."""
BYTES_MAX = 8 * 1024 * 1024
"""Of all names and values together: each takes memory for ever."""
_ROW_BYTES = 128  # about what one takes beside its text

Key = tuple[ConfiguredKind, str]
_NONE: Mapping[str, str] = {}


class StoredConfigs:
    """Settings by what they are set on."""

    def __init__(self, changes: Changes) -> None:
        self._changes = changes
        self._configs: dict[Key, Mapping[str, str]] = {}
        self._watchers: list[Callable[[ConfigsChanged], None]] = []
        self.bytes_count = 0

    def of(self, kind: ConfiguredKind, name: str) -> Mapping[str, str]:
        """What is set there."""
        return self._configs.get((kind, name), _NONE)

    def of_broker(self, node_id: int) -> dict[str, str]:
        """What is set for one broker, its own before what is for all."""
        return {**self.of("broker", ALL_BROKERS), **self.of("broker", str(node_id))}

    def names(self, kind: ConfiguredKind) -> Iterator[str]:
        """On which something is set."""
        return (name for of_kind, name in self._configs if of_kind == kind)

    def keys(self) -> Iterator[bytes]:
        """Of the checkpoint, one for each that has settings."""
        return (state_keys.configs(kind, name) for kind, name in self._configs)

    def watch(self, watcher: Callable[[ConfigsChanged], None]) -> None:
        """Call it after each change, with what it was."""
        self._watchers.append(watcher)

    def has_room_for(self, record: ConfigsChanged) -> bool:
        """Whether it may be applied; less than before always may."""
        growth = _size(record.name, record.configs) - self._size_of(record)
        return growth <= 0 or self.bytes_count + growth <= BYTES_MAX

    def apply(self, record: ConfigsChanged) -> None:
        """Take in one record of the catalog."""
        key = (record.kind, record.name)
        self.bytes_count -= self._size_of(record)
        if record.configs:
            self._configs[key] = record.configs
            self.bytes_count += self._size_of(record)
        else:
            self._configs.pop(key, None)
        size = _size(record.name, record.configs)
        self._changes.note(state_keys.configs(record.kind, record.name), size)
        for watcher in self._watchers:
            watcher(record)

    def record(self, key: bytes) -> ConfigsChanged | None:
        """What is remembered under a key of the checkpoint."""
        kind, name = state_keys.configured(key)
        configs = self._configs.get((kind, name))
        return None if configs is None else ConfigsChanged(kind=kind, name=name, configs=configs)

    def forget(self, key: bytes) -> None:
        """Nothing is set any more on what the key names."""
        kind, name = state_keys.configured(key)
        self.apply(ConfigsChanged(kind=kind, name=name, configs={}))

    def _size_of(self, record: ConfigsChanged) -> int:
        configs = self._configs.get((record.kind, record.name))
        return 0 if configs is None else _size(record.name, configs)


def _size(name: str, configs: Mapping[str, str]) -> int:
    texts = sum(len(key) + len(value) for key, value in configs.items())
    return _ROW_BYTES + len(name) + texts
