"""Requests from plain values: kafka-python's message classes by the API's name."""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from kafka.protocol.api_message import ApiMessage

from compat_tests.oracle.newer import newer

_MODULES = ("admin", "consumer", "metadata", "producer", "sasl")


@cache
def kinds() -> dict[str, type[ApiMessage]]:
    """Every request there is, by its name without "Request"."""
    found = {}
    for module in _MODULES:
        for value in vars(importlib.import_module(f"kafka.protocol.{module}")).values():
            if (
                isinstance(value, type)
                and issubclass(value, ApiMessage)
                and value is not ApiMessage
                and value.is_request()
            ):
                found[value.__name__.removesuffix("Request")] = value
    return found | newer()


@cache
def names() -> dict[int, str]:
    """The API of a key."""
    return {kind.API_KEY: name for name, kind in kinds().items()}


def build(api: str, values: Mapping[str, Any]) -> ApiMessage:
    """The request `api` with these fields; dicts stand for structs, the others have defaults."""
    request: ApiMessage = _struct(kinds()[api], values)
    return request


def _struct(kind: Any, values: Mapping[str, Any]) -> Any:
    return kind(**{name: _value(kind.fields[name], value) for name, value in values.items()})


def _value(field: Any, value: Any) -> Any:
    if value is None:
        return None
    if field.is_struct_array():
        return [_struct(field.data_class, item) for item in value]
    return _struct(field.data_class, value) if field.is_struct() else value
