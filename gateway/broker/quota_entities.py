"""Clients that quotas are for, as they are named where the catalog keeps what is set."""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from gateway.fairness.quotas import Entity

_names = msgspec.json.Decoder(dict[str, str | None])


def entity_from(names: Mapping[str, str | None]) -> Entity:
    return tuple(sorted(names.items()))


def encode_entity(entity: Entity) -> str:
    """JSON, one way to write each."""
    return msgspec.json.encode(dict(entity)).decode()


def decode_entity(name: str) -> Entity:
    """Raises ValueError."""
    try:
        names = _names.decode(name)
    except msgspec.DecodeError as error:
        raise ValueError(f"{name!r} names no client: {error}") from None
    if not names:
        raise ValueError("a quota is for somebody")
    return entity_from(names)


def decode_values(configs: Mapping[str, str]) -> dict[str, float]:
    """Raises ValueError."""
    values = {key: float(value) for key, value in configs.items()}
    for key, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{key} cannot be {value}")
    return values
