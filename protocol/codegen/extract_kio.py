"""kio's message classes -> lines of our table, for messages that kafka-python does not define.

kio is a development dependency that was generated from the same JSON, a class for each version.
Only what such messages need is known here: fields that come with a version, none that goes.
"""

import dataclasses
import datetime
import importlib
import typing
from typing import Any, NamedTuple

from protocol.codegen.table import camel_to_snake

PLAIN = {"timedelta_i32": "int32", "error_code": "int16"}
MILLISECONDS = "_ms"  # which kio leaves out of the name of what it makes a timedelta


class _Field(NamedTuple):
    name: str
    type: str
    is_nullable: bool
    default: str | None
    members: "list[_Field]"


def message_lines(api: str, kind: str, first: int, last: int) -> list[str]:
    """Of the request or the response, as `extract` writes them from JSON."""
    name = api + kind.capitalize()
    classes = {
        version: getattr(_module(api, kind, version), name) for version in range(first, last + 1)
    }
    key = int(classes[last].__api_key__)
    flexible = min((v for v, each in classes.items() if each.__flexible__), default="none")
    versions = {
        version: _fields(each, _module(api, kind, version)) for version, each in classes.items()
    }
    return [
        f"{kind} {key} {name} {first}-{last} flexible={flexible}",
        *_lines(versions, "  "),
    ]


def _module(api: str, kind: str, version: int) -> Any:
    return importlib.import_module(f"kio.schema.{camel_to_snake(api)}.v{version}.{kind}")


def _fields(cls: Any, module: Any) -> list[_Field]:
    hints = typing.get_type_hints(cls)
    return [_field(each, hints[each.name], module) for each in dataclasses.fields(cls)]


def _field(each: Any, hint: Any, module: Any) -> _Field:
    kafka_type = each.metadata.get("kafka_type")
    parts = [part for part in typing.get_args(hint) if part is not type(None)]
    # kio reads the zero uuid as None: no null on the wire.
    is_nullable = type(None) in typing.get_args(hint) and kafka_type != "uuid"
    inner = parts[0] if is_nullable or (kafka_type == "uuid" and parts) else hint
    is_array = typing.get_origin(inner) is tuple
    element = typing.get_args(inner)[0] if is_array else inner
    members = [] if kafka_type else _fields(element, module)
    shown = PLAIN.get(kafka_type, kafka_type) if kafka_type else element.__name__
    suffix = MILLISECONDS if kafka_type and kafka_type.startswith("timedelta") else ""
    return _Field(
        each.name + suffix,
        f"[]{shown}" if is_array else shown,
        is_nullable,
        _default(each.default),
        members,
    )


def _default(value: Any) -> str | None:
    if value is dataclasses.MISSING or value == ():
        return None
    if isinstance(value, datetime.timedelta):
        return str(round(value.total_seconds() * 1000))
    return "null" if value is None else str(value)


def _lines(versions: dict[int, list[_Field]], indent: str) -> list[str]:
    """In the order of the last version, which has all fields."""
    lines = []
    for field in versions[max(versions)]:
        found = {
            version: each
            for version, fields in versions.items()
            for each in fields
            if each.name == field.name
        }
        parts = [field.name, field.type, f"{min(found)}-{max(found)}"]
        if nullable := [version for version, each in found.items() if each.is_nullable]:
            parts.append(f"null={min(nullable)}-{max(nullable)}")
        if field.default is not None:
            parts.append(f"default={field.default}")
        lines.append(indent + " ".join(parts))
        if field.members:
            lines += _lines(
                {version: each.members for version, each in found.items()}, indent + "  "
            )
    return lines
