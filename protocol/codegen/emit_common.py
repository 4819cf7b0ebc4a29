"""What reading and writing code have in common: text under construction, branches, defaults."""

from dataclasses import dataclass, field

from protocol.codegen.table import FIXED_TYPES, Field, Range, StructDef

ANNOTATIONS = {
    "bool": "bool",
    "int8": "int",
    "int16": "int",
    "uint16": "int",
    "int32": "int",
    "int64": "int",
    "float64": "float",
    "uuid": "bytes",
    "string": "str",
    "bytes": "bytes",
    "records": "Records",
}
EMPTY = {"bool": "False", "float64": "0.0", "string": '""', "bytes": 'b""'}
PLURALS = {"int8": "int8s", "int32": "int32s", "int64": "int64s", "string": "strings"}
ELEMENT_BYTES_MIN = {"int8": 1, "int32": 4, "int64": 8, "string": 1}


@dataclass
class Lines:
    """Text under construction, with the names it needs from primitives and its struct formats."""

    text: list[str] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    formats: set[str] = field(default_factory=set)

    def add(self, depth: int, line: str) -> None:
        self.text.append("    " * depth + line if line else "")

    def use(self, name: str) -> str:
        self.names.add(name)
        return name


def format_name(form: str) -> str:
    return form.replace("?", "t").replace("16s", "u")


def optional(each: Field) -> bool:
    """Whether None is among the values: nullable, or a tagged struct that may be left out."""
    tagged_struct = each.tag is not None and each.struct is not None and not each.is_array
    return each.type != "records" and (each.nullable is not None or tagged_struct)


def annotation(out: Lines, each: Field) -> str:
    base = ANNOTATIONS[each.element] if each.struct is None else each.struct.name
    if each.type == "records":
        return out.use("Records")
    if each.is_array:
        base = f"list[{base}]"
    return f"{base} | None" if optional(each) else base


def default(out: Lines, each: Field) -> str:
    """The schema's default; else None if always nullable, else the empty value.

    Records default to empty, never null: librdkafka cannot parse a null in a Fetch response.
    """
    if each.type == "records":
        return 'b""'
    if each.struct is not None and not each.is_array:
        assert each.tag is not None or each.always_nullable, "a struct that is always there"
        return "None"
    if each.default == "null" or (each.default is None and each.always_nullable):
        return "None"
    if each.default is not None:
        return _literal(each)
    if each.type == "uuid":
        return out.use("ZERO_UUID")
    return "[]" if each.is_array else EMPTY.get(each.type, "0")


def _literal(each: Field) -> str:
    assert each.default is not None
    if each.type == "bool":
        return each.default.capitalize()
    if each.type == "string":
        return repr(each.default)
    return str(int(each.default, 0))


def runs(struct: StructDef) -> list[list[Field]]:
    """The untagged fields in wire order; neighbours of fixed size share a list."""
    runs: list[list[Field]] = []
    for each in struct.fields:
        if each.tag is not None:
            continue
        if each.is_fixed and runs and runs[-1][0].is_fixed:
            runs[-1].append(each)
        else:
            runs.append([each])
    return runs


def branches(out: Lines, depth: int, cases: list[tuple[Range, list[str]]]) -> None:
    """An if-chain over version ranges. `cases` ascend without gaps.

    Newest first, unless the newest have nothing to do: then upwards, and they need no branch.
    """
    if len(cases) == 1:
        for line in cases[0][1]:
            out.add(depth, line)
        return
    upwards = not cases[-1][1]
    ordered = cases if upwards else cases[::-1]
    for number, (versions, lines) in enumerate(ordered):
        is_last = number == len(ordered) - 1
        if is_last and not lines:
            return
        bound = f"<= {versions.last}" if upwards else f">= {versions.first}"
        word = "if" if number == 0 else "elif"
        out.add(depth, "else:" if is_last else f"{word} version {bound}:")
        for line in lines or ["pass"]:
            out.add(depth + 1, line)


def format_of(fields: list[Field]) -> str:
    return "".join(FIXED_TYPES[each.type] for each in fields)


def variant(struct: StructDef, each: Field, version: int) -> tuple[bool, bool, bool]:
    """(present, flexible, nullable) of one variable field at one version."""
    if version not in each.versions:
        return (False, False, False)
    return (True, struct.is_flexible(version), each.nullable_in(version))


def primitive(flexible: bool, nullable: bool, noun: str) -> str:
    return f"{'compact_' if flexible else ''}{'nullable_' if nullable else ''}{noun}"
