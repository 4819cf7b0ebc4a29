"""Where two observations differ: paths into them, and what stands there on each side."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

ABSENT = "(absent)"


@dataclass(frozen=True)
class Difference:
    """`path` goes by names: `3 CreateTopics v7.topics[t].error_code`."""

    path: str
    kafka: str
    gateway: str

    def __str__(self) -> str:
        return f"{self.path}\n    kafka   {self.kafka}\n    gateway {self.gateway}"


def compare(kafka: Any, gateway: Any, path: str = "") -> Iterator[Difference]:
    """Each place where they differ, as deep as both have it."""
    if isinstance(kafka, dict) and isinstance(gateway, dict):
        for key in {**kafka, **gateway}:
            below = f"{path}.{key}" if path else str(key)
            yield from compare(kafka.get(key, ABSENT), gateway.get(key, ABSENT), below)
    elif isinstance(kafka, list) and isinstance(gateway, list) and len(kafka) == len(gateway):
        for index, (one, other) in enumerate(zip(kafka, gateway, strict=True)):
            yield from compare(one, other, f"{path}[{index}]")
    elif kafka != gateway or type(kafka) is not type(gateway):
        yield Difference(path, _shown(kafka), _shown(gateway))


def _shown(value: Any) -> str:
    return value if value == ABSENT else repr(value)
