"""What may be translated: found without translating anything. That it works, the brokers of
compat_tests show, and the wheel's tests that it is in there."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.translated import backend

ROOT = Path(__file__).parents[3]
MODULES = backend.modules()
PROGRAM = [
    path
    for package in ("gateway", "protocol", "wal_core")
    for path in (ROOT / package).rglob("*.py")
    if not {"tests", "testing", "codegen"} & set(path.parts)
]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def tree_of(name: str) -> ast.Module:
    return ast.parse((ROOT / (name.replace(".", "/") + ".py")).read_text())


def classes(tree: ast.AST) -> Iterator[ast.ClassDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))


def words(nodes: list[ast.expr]) -> set[str]:
    """The last words of names, without what is in brackets behind them."""
    found = set()
    for node in nodes:
        named = node.value if isinstance(node, ast.Subscript) else node
        named = named.func if isinstance(named, ast.Call) else named
        found.add(named.attr if isinstance(named, ast.Attribute) else getattr(named, "id", ""))
    return found


def test_the_list_is_in_order_and_of_modules_that_are_there() -> None:
    assert sorted(set(MODULES)) == MODULES
    assert set(MODULES) <= {name_of(path) for path in PROGRAM}


def test_no_class_of_the_rest_is_made_of_a_translated_one() -> None:
    # Interpreted classes cannot have compiled ones as a base: told when the module is imported.
    translated = {
        one.name
        for name in MODULES
        for one in classes(tree_of(name))
        if not {"Protocol", "NamedTuple"} & words(one.bases)
    }
    others = [path for path in PROGRAM if name_of(path) not in MODULES]
    for path in others:
        for one in classes(ast.parse(path.read_text())):
            assert not translated & words(one.bases), f"{path}: {one.name}"


def test_no_class_of_theirs_is_read_by_msgspec() -> None:
    # Compiled classes do not say what types their fields have.
    read = {
        word
        for path in PROGRAM
        for kind in re.findall(r"(?:Decoder\(|type=)([\w\[\], |]+)", path.read_text())
        for word in re.findall(r"\w+", kind)
    }
    assert {"SavedStream", "Manifest"} <= read
    for name in MODULES:
        assert not read & {one.name for one in classes(tree_of(name))}, name


@pytest.mark.parametrize("name", MODULES)
def test_they_have_nothing_that_cannot_be_translated(name: str) -> None:
    tree = tree_of(name)
    for one in classes(tree):
        # The one needs keywords of the class, the other types that are imported for types alone.
        assert "Struct" not in words(one.bases), f"{one.name} of msgspec"
        if any(word.endswith(("Exception", "Error")) for word in words(one.bases)):
            kept = [node for node in one.body if isinstance(node, ast.Assign | ast.AnnAssign)]
            assert not kept, f"{one.name} has attributes of the class, which come to nothing"
        is_typed_only = "TYPE_CHECKING" in (ROOT / (name.replace(".", "/") + ".py")).read_text()
        if "NamedTuple" in words(one.bases):
            told = {
                ast.unparse(node.annotation) for node in one.body if isinstance(node, ast.AnnAssign)
            }
            assert not re.search("memoryview", " ".join(told)), f"{one.name} cannot be imported"
        if "dataclass" in words(one.decorator_list) and is_typed_only:
            known = {"int", "str", "bytes", "float", "bool"}
            fields = [node for node in one.body if isinstance(node, ast.AnnAssign)]
            assert {ast.unparse(node.annotation) for node in fields} <= known, one.name
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef):
            inner = [part for part in ast.walk(node) if isinstance(part, ast.Yield)]
            assert not inner, f"{node.name} is an asynchronous generator"
        if isinstance(node, ast.Attribute):
            assert node.attr != "_thread", "a word of C"


def test_wheels_are_made_by_the_translator_of_the_tests() -> None:
    pinned = (ROOT / "requirements-dev.lock").read_text()
    assert re.search(rf"^{re.escape(backend.TRANSLATOR)} ", pinned, re.MULTILINE)
    build = re.search(r'requires = \["(setuptools==.*)"\]', (ROOT / "pyproject.toml").read_text())
    assert build is not None
    assert re.search(rf"^{re.escape(build[1])} ", pinned, re.MULTILINE)
