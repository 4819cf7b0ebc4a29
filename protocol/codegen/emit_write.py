"""The encoder of one struct: `encode`, and `_tags` where it has tagged fields."""

from protocol.codegen.emit_common import (
    PLURALS,
    Lines,
    branches,
    default,
    format_name,
    format_of,
    primitive,
    runs,
    variant,
)
from protocol.codegen.table import FIXED_TYPES, Field, StructDef, intervals


def emit_encode(out: Lines, struct: StructDef) -> None:
    out.add(1, "def encode(self, out: Writer, version: int) -> None:")
    out.add(2, "buf = out.buf")
    for run in runs(struct):
        if run[0].is_fixed:
            _emit_write_run(out, struct, run)
        else:
            _emit_write_variable(out, struct, run[0])
    _emit_write_tags(out, struct)


def _emit_write_run(out: Lines, struct: StructDef, run: list[Field]) -> None:
    found = intervals(struct.versions, lambda v: tuple(f.name for f in run if v in f.versions))
    cases = []
    for versions, names in found:
        present = [each for each in run if each.name in names]
        lines = []
        if present:
            form = format_of(present)
            out.formats.add(form)
            values = ", ".join(f"self.{each.name}" for each in present)
            lines.append(f"buf += _pack_{format_name(form)}({values})")
        cases.append((versions, lines))
    branches(out, 2, cases)


def _emit_write_variable(out: Lines, struct: StructDef, each: Field) -> None:
    found = intervals(struct.versions, lambda v: variant(struct, each, v))
    cases = []
    for versions, (present, flexible, nullable) in found:
        if not present:
            lines = []
        elif each.is_array:
            lines = _write_array(out, each, flexible=flexible, nullable=nullable)
        elif each.struct is not None:
            lines = _write_nullable_struct(each)
        else:
            writer = out.use(f"write_{primitive(flexible, nullable, each.type)}")
            target = "out" if each.type == "records" else "buf"
            lines = [f"{writer}({target}, self.{each.name})"]
        cases.append((versions, lines))
    branches(out, 2, cases)


def _write_nullable_struct(each: Field) -> list[str]:
    name = f"self.{each.name}"
    return [
        f"if {name} is None:",
        "    buf.append(0xFF)",
        "else:",
        "    buf.append(1)",
        f"    {name}.encode(out, version)",
    ]


def _write_array(out: Lines, each: Field, *, flexible: bool, nullable: bool) -> list[str]:
    counter = out.use("write_compact_count" if flexible else "write_count")
    name = f"self.{each.name}"
    if each.struct is not None:
        item = f"{each.name}_item"
        body = [f"for {item} in {name}:", f"    {item}.encode(out, version)"]
    else:
        compact = "compact_" if flexible and each.element == "string" else ""
        body = [f"{out.use(f'write_{compact}{PLURALS[each.element]}')}(buf, {name})"]
    body = [f"{counter}(buf, len({name}))", *body]
    if nullable:
        return [
            f"if {name} is None:",
            f"    {counter}(buf, -1)",
            "else:",
            *(f"    {line}" for line in body),
        ]
    if each.nullable is not None:
        return [
            f"if {name} is None:",
            '    raise TypeError("null where this version has none")',
            *body,
        ]
    return body


def _emit_write_tags(out: Lines, struct: StructDef) -> None:
    flexible = struct.flexible_from
    if flexible is None or flexible > struct.versions.last:
        return
    depth = 2
    if flexible > struct.versions.first:
        out.add(2, f"if version >= {flexible}:")
        depth = 3
    tagged = struct.tagged()
    if not tagged:
        out.add(depth, "buf.append(0)")
        return
    unset = " and ".join(_is_default(out, each) for each in tagged)
    out.add(depth, f"if {unset}:")
    out.add(depth + 1, "buf.append(0)")
    out.add(depth, "else:")
    out.add(depth + 1, f"{out.use('write_tags')}(out, self._tags(version))")
    out.add(0, "")
    out.add(1, "def _tags(self, version: int) -> list[tuple[int, Writer]]:")
    out.add(2, "tags: list[tuple[int, Writer]] = []")
    for each in tagged:
        since = each.versions.first
        guard = f"version >= {since} and " if since > max(flexible, struct.versions.first) else ""
        out.add(2, f"if {guard}{_is_set(out, each)}:")
        out.add(3, "value = Writer()")
        for line in _write_tag_value(out, each):
            out.add(3, line)
        out.add(3, f"tags.append(({each.tag}, value))")
    out.add(2, "return tags")


def _is_default(out: Lines, each: Field) -> str:
    unset = default(out, each)
    name = f"self.{each.name}"
    if unset == "None":
        return f"{name} is None"
    if unset in ("[]", "False"):
        return f"not {name}"
    return f"{name} == {unset}"


def _is_set(out: Lines, each: Field) -> str:
    unset = default(out, each)
    name = f"self.{each.name}"
    if each.struct is not None and not each.is_array:
        return f"{name} is not None and {name} != {each.struct.name}()"
    if unset == "None":
        return f"{name} is not None"
    if unset in ("[]", "False"):
        return name
    return f"{name} != {unset}"


def _write_tag_value(out: Lines, each: Field) -> list[str]:
    name = f"self.{each.name}"
    if each.is_fixed:
        form = FIXED_TYPES[each.type]
        out.formats.add(form)
        return [f"value.buf += _pack_{format_name(form)}({name})"]
    if each.is_array:
        item = f"{each.name}_item"
        return [
            f"{out.use('write_compact_count')}(value.buf, len({name}))",
            f"for {item} in {name}:",
            f"    {item}.encode(value, version)",
        ]
    if each.struct is not None:
        return [f"{name}.encode(value, version)"]
    writer = out.use(f"write_{primitive(True, each.nullable is not None, each.type)}")
    return [f"{writer}(value.buf, {name})"]
