"""The schema table as values: parsed lines, and what the generator derives from them."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")

FIXED_TYPES = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "int64": "q",
    "float64": "d",
    "uuid": "16s",
}
"""Wire type -> struct module format; all are read and written in runs."""

FIXED_BYTES = {
    "bool": 1,
    "int8": 1,
    "int16": 2,
    "uint16": 2,
    "int32": 4,
    "int64": 8,
    "float64": 8,
    "uuid": 16,
}
VARIABLE_TYPES = {"string", "bytes", "records"}


def camel_to_snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


@dataclass(frozen=True)
class Range:
    """Versions, both ends inclusive as Kafka writes them."""

    first: int
    last: int

    def __contains__(self, version: int) -> bool:
        return self.first <= version <= self.last

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass
class Field:
    name: str
    type: str
    versions: Range
    nullable: Range | None = None
    tag: int | None = None
    default: str | None = None
    struct: "StructDef | None" = None

    @property
    def element(self) -> str:
        """The element type of an array, else the type itself."""
        return self.type.removeprefix("[]")

    @property
    def is_array(self) -> bool:
        return self.type.startswith("[]")

    @property
    def is_fixed(self) -> bool:
        return self.type in FIXED_TYPES

    def nullable_in(self, version: int) -> bool:
        return self.nullable is not None and version in self.nullable

    @property
    def always_nullable(self) -> bool:
        return self.nullable is not None and self.nullable == self.versions


@dataclass
class StructDef:
    name: str
    versions: Range
    flexible_from: int | None
    fields: list[Field] = field(default_factory=list)
    kind: str = "struct"  # or request, response, data
    api_key: int | None = None

    def is_flexible(self, version: int) -> bool:
        return self.flexible_from is not None and version >= self.flexible_from

    def tagged(self) -> list[Field]:
        return sorted((f for f in self.fields if f.tag is not None), key=lambda f: f.tag or 0)

    def bytes_min(self) -> int:
        """The least an instance takes in any version, at least 1: bounds an array's count."""
        versions = range(self.versions.first, self.versions.last + 1)
        return max(1, min(map(self._bytes_min_at, versions)))

    def _bytes_min_at(self, version: int) -> int:
        flexible = self.is_flexible(version)
        total = 1 if flexible else 0
        for each in self.fields:
            if version not in each.versions or each.tag is not None:
                continue
            if each.is_fixed:
                total += FIXED_BYTES[each.type]
            elif flexible:
                total += 1
            else:
                total += 2 if each.type == "string" else 4
        return total


@dataclass
class Module:
    """One file of protocol/messages: structs in an order that defines before use."""

    name: str
    structs: list[StructDef] = field(default_factory=list)


def parse_tables(*texts: str) -> list[Module]:
    modules: dict[str, Module] = {}
    for text in texts:
        _parse(text, modules)
    for module in modules.values():
        _rename_clashes(module)
    return list(modules.values())


def _parse(text: str, modules: dict[str, Module]) -> None:
    module_name: str | None = None
    path: list[tuple[int, StructDef]] = []
    known: dict[str, StructDef] = {}
    module = Module("")
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        indent = len(line) - len(line.lstrip())
        if words[0] == "module":
            module_name, known = words[1], {}
        elif indent == 0:
            top = _parse_head(words)
            name = module_name or camel_to_snake(re.sub(r"(Request|Response)$", "", top.name))
            module = modules.setdefault(name, Module(name))
            known = known if module_name else {}
            path = [(0, top)]
            module.structs.append(top)
        else:
            while path[-1][0] >= indent:
                path.pop()
            owner = path[-1][1]
            each = _parse_field(words)
            owner.fields.append(each)
            if not each.is_fixed and each.element not in (*FIXED_TYPES, *VARIABLE_TYPES):
                each.struct = known.get(each.element)
                if each.struct is None:
                    each.struct = StructDef(each.element, each.versions, owner.flexible_from)
                    known[each.element] = each.struct
                    module.structs.insert(_index(module, owner), each.struct)
                else:
                    each.struct.versions = _union(each.struct.versions, each.versions)
                path.append((indent, each.struct))


def _union(one: Range, other: Range) -> Range:
    return Range(min(one.first, other.first), max(one.last, other.last))


def _index(module: Module, owner: StructDef) -> int:
    return next(i for i, struct in enumerate(module.structs) if struct is owner)


def _parse_head(words: list[str]) -> StructDef:
    kind, *rest = words
    api_key = int(rest.pop(0)) if kind != "data" else None
    name, versions, flexible = rest
    first = flexible.removeprefix("flexible=")
    return StructDef(
        name, _parse_range(versions), None if first == "none" else int(first), [], kind, api_key
    )


def _parse_field(words: list[str]) -> Field:
    each = Field(words[0], words[1], _parse_range(words[2]))
    for word in words[3:]:
        key, _, value = word.partition("=")
        if key == "null":
            each.nullable = _parse_range(value)
        elif key == "tag":
            each.tag = int(value)
        elif key == "default":
            each.default = value
        else:
            raise ValueError(f"unknown column {word!r} of {words[0]}")
    return each


def _parse_range(text: str) -> Range:
    first, _, last = text.partition("-")
    return Range(int(first), int(last))


def _rename_clashes(module: Module) -> None:
    """A struct of the response that shares its name with one of the request gets a suffix."""
    seen: set[str] = set()
    for struct in module.structs:
        if struct.name in seen:
            struct.name += "Response"
        seen.add(struct.name)


def intervals(versions: Range, classify: Callable[[int], T]) -> list[tuple[Range, T]]:
    """Cut `versions` where `classify` changes; ascending."""
    found: list[tuple[Range, T]] = []
    for version in range(versions.first, versions.last + 1):
        value = classify(version)
        if found and found[-1][1] == value:
            found[-1] = (Range(found[-1][0].first, version), value)
        else:
            found.append((Range(version, version), value))
    return found
