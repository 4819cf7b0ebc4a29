"""The decoder of one struct: `_read`.

A decoder takes `budget`, the array elements the message may still hold, down through all its
structs (primitives.py).
"""

from protocol.codegen.emit_common import (
    ELEMENT_BYTES_MIN,
    PLURALS,
    Lines,
    annotation,
    branches,
    default,
    format_name,
    format_of,
    optional,
    primitive,
    runs,
    variant,
)
from protocol.codegen.table import FIXED_BYTES, FIXED_TYPES, Field, Range, StructDef, intervals


def emit_read(out: Lines, struct: StructDef) -> None:
    out.add(1, "@classmethod")
    out.add(1, "def _read(")
    out.add(2, "cls, buf: memoryview, at: int, version: int, budget: Budget")
    out.add(1, f') -> "tuple[{struct.name}, int]":')
    for run in runs(struct):
        if run[0].is_fixed:
            _emit_read_run(out, struct, run)
        else:
            _emit_read_variable(out, struct, run[0])
    _emit_read_tags(out, struct)
    arguments = ", ".join(each.name for each in struct.fields)
    out.add(2, f"return {struct.name}({arguments}), at")


def _emit_read_run(out: Lines, struct: StructDef, run: list[Field]) -> None:
    found = intervals(struct.versions, lambda v: tuple(f.name for f in run if v in f.versions))
    cases = []
    for versions, names in found:
        present = [each for each in run if each.name in names]
        lines = [f"{e.name} = {default(out, e)}" for e in run if e.name not in names]
        if present:
            form = format_of(present)
            out.formats.add(form)
            targets = ", ".join(each.name for each in present)
            lines.append(f"({targets},) = _read_{format_name(form)}(buf, at)")
            lines.append(f"at += {sum(FIXED_BYTES[each.type] for each in present)}")
        cases.append((versions, lines))
    branches(out, 2, cases)


def _emit_read_variable(out: Lines, struct: StructDef, each: Field) -> None:
    found = intervals(struct.versions, lambda v: variant(struct, each, v))
    local = _count_of(struct)
    if each.is_array and each.struct is not None:
        _emit_read_structs(out, each, found, local)
        return
    cases = []
    for versions, (present, flexible, nullable) in found:
        if not present:
            lines = [f"{each.name} = {default(out, each)}"]
        elif each.is_array:
            lines = _read_array(out, each, local, flexible=flexible, nullable=nullable)
        elif each.struct is not None:
            lines = _read_nullable_struct(out, each)
        else:
            reader = out.use(f"read_{primitive(flexible, nullable, each.type)}")
            lines = [f"{each.name}, at = {reader}(buf, at)"]
        cases.append((versions, lines))
    if (len(cases) > 1 or each.struct is not None) and (each.is_array or optional(each)):
        out.add(2, f"{each.name}: {annotation(out, each)}")
    branches(out, 2, cases)


def _read_nullable_struct(out: Lines, each: Field) -> list[str]:
    """A byte before it says whether it is there."""
    assert each.struct is not None
    out.formats.add("b")
    return [
        f"(mark,) = _read_{format_name('b')}(buf, at)",
        "at += 1",
        f"{each.name} = None",
        "if mark >= 0:",
        f"    {each.name}, at = {each.struct.name}._read(buf, at, version, budget)",
    ]


def _count_of(struct: StructDef) -> str:
    """The local name for the elements of an array, which no field may have."""
    return "length" if any(each.name == "count" for each in struct.fields) else "count"


def _read_array(
    out: Lines, each: Field, local: str, *, flexible: bool, nullable: bool
) -> list[str]:
    """Lines for an array of plain values; for one of structs only the count."""
    least = ELEMENT_BYTES_MIN[each.element] if each.struct is None else each.struct.bytes_min()
    if each.element == "string" and not flexible:
        least = 2
    counter = out.use(f"read_{primitive(flexible, nullable, 'count')}")
    lines = [f"{local}, at = {counter}(buf, at, {least}, budget)"]
    if each.struct is not None:
        return lines
    compact = "compact_" if flexible and each.element == "string" else ""
    reader = out.use(f"read_{compact}{PLURALS[each.element]}")
    if not nullable:
        return [*lines, f"{each.name}, at = {reader}(buf, at, {local})"]
    return [
        *lines,
        f"if {local} < 0:",
        f"    {each.name} = None",
        "else:",
        f"    {each.name}, at = {reader}(buf, at, {local})",
    ]


def _emit_read_structs(
    out: Lines, each: Field, found: list[tuple[Range, tuple[bool, bool, bool]]], local: str
) -> None:
    """The count comes by version, the loop is shared. A count of -1 is null."""
    assert each.struct is not None
    default_is_null = default(out, each) == "None"
    cases = []
    for versions, (present, flexible, nullable) in found:
        if present:
            lines = _read_array(out, each, local, flexible=flexible, nullable=nullable)
        else:
            lines = [f"{local} = {-1 if default_is_null else 0}"]
        cases.append((versions, lines))
    branches(out, 2, cases)
    depth = 2
    declared = annotation(out, each)
    if each.nullable is not None:
        out.add(2, f"{each.name}: {declared} = None")
        out.add(2, f"if {local} >= 0:")
        out.add(3, f"{each.name} = []")
        depth = 3
    else:
        out.add(2, f"{each.name}: {declared} = []")
    out.add(depth, f"for _ in range({local}):")
    item = f"{each.name}_item"
    out.add(depth + 1, f"{item}, at = {each.struct.name}._read(buf, at, version, budget)")
    out.add(depth + 1, f"{each.name}.append({item})")


def _emit_read_tags(out: Lines, struct: StructDef) -> None:
    tagged = struct.tagged()
    for each in tagged:
        out.add(2, f"{each.name}: {annotation(out, each)} = {default(out, each)}")
    flexible = struct.flexible_from
    if flexible is None or flexible > struct.versions.last:
        return
    depth = 2
    if flexible > struct.versions.first:
        out.add(2, f"if version >= {flexible}:")
        depth = 3
    out.add(depth, "if buf[at] == 0:")
    out.add(depth + 1, "at += 1")
    out.add(depth, "else:")
    if not tagged:
        out.add(depth + 1, f"at = {out.use('skip_tags')}(buf, at)")
        return
    out.add(depth + 1, f"tag_count, at = {out.use('read_uvarint')}(buf, at)")
    out.add(depth + 1, "for _ in range(tag_count):")
    out.add(depth + 2, f"tag, at, end = {out.use('read_tag')}(buf, at)")
    for number, each in enumerate(tagged):
        word = "if" if number == 0 else "elif"
        since = each.versions.first
        guard = f" and version >= {since}" if since > max(flexible, struct.versions.first) else ""
        out.add(depth + 2, f"{word} tag == {each.tag}{guard}:")
        _emit_read_tag_value(out, depth + 3, each)
    out.add(depth + 2, "at = end")


def _emit_read_tag_value(out: Lines, depth: int, each: Field) -> None:
    """Reads inside the tag's own bytes (buf[:end]), so that a lying size harms nobody else."""
    if each.is_fixed:
        form = FIXED_TYPES[each.type]
        out.formats.add(form)
        out.add(depth, f"({each.name},) = _read_{format_name(form)}(buf[:end], at)")
    elif each.struct is None and not each.is_array:
        nullable = each.nullable is not None
        reader = out.use(f"read_{primitive(True, nullable, each.type)}")
        out.add(depth, f"{each.name}, at = {reader}(buf[:end], at)")
    elif not each.is_array:
        assert each.struct is not None
        name = each.struct.name
        out.add(depth, f"{each.name}, at = {name}._read(buf[:end], at, version, budget)")
    else:
        assert each.struct is not None
        assert each.nullable is None
        least = each.struct.bytes_min()
        out.add(depth, "window = buf[:end]")
        counter = out.use("read_compact_count")
        out.add(depth, f"count, at = {counter}(window, at, {least}, budget)")
        out.add(depth, f"{each.name} = []")
        out.add(depth, "for _ in range(count):")
        item = f"{each.name}_item"
        read = f"{each.struct.name}._read(window, at, version, budget)"
        out.add(depth + 1, f"{item}, at = {read}")
        out.add(depth + 1, f"{each.name}.append({item})")
