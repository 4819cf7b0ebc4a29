"""Help for the message tests: every struct of the schema table, arbitrary values of it, and a slow
table-driven encoder that shares nothing with the generated code but the table."""

import importlib
import struct
from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

from protocol import ErrorCode, Message
from protocol.codegen.__main__ import RECORDS_TABLE, TABLE, read
from protocol.codegen.table import FIXED_TYPES, Field, StructDef, parse_tables

INT_BITS = {"int8": 8, "int16": 16, "int32": 32, "int64": 64}
TEXT = st.text(max_size=6) | st.sampled_from(["", "topic", "é" * 70, "x" * 300])
UNKNOWN_TAG = 99


@dataclass(frozen=True)
class Top:
    """A message that stands for itself: a request, a response or a record struct."""

    struct: StructDef
    cls: type[Message]

    @property
    def name(self) -> str:
        return self.struct.name

    @property
    def versions(self) -> range:
        return range(self.struct.versions.first, self.struct.versions.last + 1)


@cache
def classes() -> dict[int, type[Message]]:
    """id of a StructDef -> its generated class."""
    found = {}
    for module in _modules():
        python = importlib.import_module(f"protocol.messages.{module.name}")
        for each in module.structs:
            found[id(each)] = getattr(python, each.name)
    return found


@cache
def _modules():
    return parse_tables(read(TABLE), read(RECORDS_TABLE))


@cache
def tops() -> list[Top]:
    return [
        Top(each, classes()[id(each)])
        for module in _modules()
        for each in module.structs
        if each.kind != "struct"
    ]


def cases() -> list[tuple[Top, int]]:
    """Every message at every version."""
    return [(top, version) for top in tops() for version in top.versions]


def case_id(value: object) -> str:
    return value.name if isinstance(value, Top) else f"v{value}"


# --- arbitrary values ----------------------------------------------------------------------------


@cache
def messages(struct_id: int, version: int) -> st.SearchStrategy[Message]:
    """Messages whose fields outside the version have their defaults."""
    definition = _definitions()[struct_id]
    fields = {
        each.name: _values(each, version) for each in definition.fields if version in each.versions
    }
    return st.builds(classes()[struct_id], **fields)


def arbitrary(top: Top, version: int) -> st.SearchStrategy[Message]:
    return messages(id(top.struct), version)


@cache
def _definitions() -> dict[int, StructDef]:
    return {id(each): each for module in _modules() for each in module.structs}


def _values(each: Field, version: int) -> st.SearchStrategy[object]:
    if each.is_array:
        values: st.SearchStrategy[object] = st.lists(_element(each, version), max_size=3)
        if each.element == "int32":
            values |= st.just(list(range(200)))  # a count of two varint bytes
    else:
        values = _element(each, version)
    if each.nullable_in(version):
        values |= st.none()
    if each.tag is not None and each.struct is not None and not each.is_array:
        default = classes()[id(each.struct)]()
        values = values.map(lambda value: None if value == default else value) | st.none()
    return values


def _element(each: Field, version: int) -> st.SearchStrategy[object]:
    if each.struct is not None:
        return messages(id(each.struct), version)
    kind = each.element
    if kind == "bool":
        return st.booleans()
    if kind == "uuid":
        return st.binary(min_size=16, max_size=16)
    if kind in ("bytes", "records"):
        return st.binary(max_size=20) | st.just(bytes(5000))
    if kind == "string":
        return TEXT
    if each.name.endswith("error_code"):
        return st.sampled_from([int(code) for code in ErrorCode])
    if kind == "int64" and "time" in each.name:
        return st.integers(0, 2**41)  # kio turns these into datetimes, which end at year 9999
    if kind == "float64":
        return st.floats(allow_nan=False)
    if kind == "uint16":
        return st.integers(0, 0xFFFF)
    half = 1 << (INT_BITS[kind] - 1)
    return st.integers(-half, half - 1)


# --- the slow encoder ----------------------------------------------------------------------------


def slow_encode(
    definition: StructDef, message: Message, version: int, *, inject: bool = False
) -> bytes:
    """The wire form by the table, field by field. `inject` adds an unknown tag to every struct."""
    flexible = definition.is_flexible(version)
    out = b""
    for each in definition.fields:
        if version in each.versions and each.tag is None:
            out += _slow_value(each, getattr(message, each.name), version, flexible, inject)
    if not flexible:
        return out
    tags = []
    for each in definition.tagged():
        value = getattr(message, each.name)
        if version in each.versions and not _is_default(each, value):
            tags.append((each.tag, _slow_value(each, value, version, True, inject)))
    if inject:
        tags.append((UNKNOWN_TAG, b"some unknown bytes"))
    out += _uvarint(len(tags))
    for tag, value in tags:
        out += _uvarint(tag) + _uvarint(len(value)) + value
    return out


def _is_default(each: Field, value: object) -> bool:
    if each.struct is not None and not each.is_array:
        return value is None or value == classes()[id(each.struct)]()
    default = {
        "null": None,
        "false": False,
        None: [] if each.is_array else bytes(16) if each.type == "uuid" else 0,
    }
    return value == (default[each.default] if each.default in default else int(each.default, 0))


def _slow_value(each: Field, value, version: int, flexible: bool, inject: bool) -> bytes:
    if each.is_array:
        length = -1 if value is None else len(value)
        head = _uvarint(length + 1) if flexible else struct.pack(">i", length)
        element = Field(each.name, each.element, each.versions, struct=each.struct)
        items = (_slow_value(element, item, version, flexible, inject) for item in value or [])
        return head + b"".join(items)
    if each.struct is not None:
        if each.nullable is not None and each.tag is None:
            if value is None:
                return b"\xff"
            return b"\x01" + slow_encode(each.struct, value, version, inject=inject)
        return slow_encode(each.struct, value, version, inject=inject)
    if each.type in FIXED_TYPES:
        return struct.pack(">" + FIXED_TYPES[each.type], value)
    raw = value.encode() if isinstance(value, str) else value
    length = -1 if raw is None else len(raw)
    wide = "h" if each.type == "string" else "i"
    return (_uvarint(length + 1) if flexible else struct.pack(">" + wide, length)) + (raw or b"")


def _uvarint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
