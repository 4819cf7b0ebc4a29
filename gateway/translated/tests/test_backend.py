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


def functions(name: str) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def words(nodes: list[ast.expr]) -> set[str]:
    """The last words of names, without what is in brackets behind them."""
    found = set()
    for node in nodes:
        named = node.value if isinstance(node, ast.Subscript) else node
        named = named.func if isinstance(named, ast.Call) else named
        found.add(named.attr if isinstance(named, ast.Attribute) else getattr(named, "id", ""))
    return found


TRANSLATED = {
    one.name
    for name in MODULES
    for one in classes(tree_of(name))
    if not {"Protocol", "NamedTuple"} & words(one.bases)
}
"""Classes."""


def test_the_list_is_in_order_and_of_modules_that_are_there() -> None:
    assert sorted(set(MODULES)) == MODULES
    assert set(MODULES) <= {name_of(path) for path in PROGRAM}


def test_no_class_of_the_rest_is_made_of_a_translated_one() -> None:
    # Interpreted classes cannot have compiled ones as a base: told when the module is imported.
    others = [path for path in PROGRAM if name_of(path) not in MODULES]
    for path in others:
        for one in classes(ast.parse(path.read_text())):
            assert not TRANSLATED & words(one.bases), f"{path}: {one.name}"


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
            fields = [node for node in one.body if isinstance(node, ast.AnnAssign)]
            told = " ".join(ast.unparse(node.annotation) for node in fields)
            assert "memoryview" not in told, f"{one.name} cannot be imported"
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


def read_again(function: ast.AST) -> Iterator[str]:
    """Attributes that are None for whoever reads on, by a way out or for having been set so, and
    are read again further on."""
    inner: set[ast.AST] = set()
    for node in ast.walk(function):
        if node is not function and isinstance(
            node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        ):
            inner |= set(ast.walk(node))
    nodes = [node for node in ast.walk(function) if node not in inner]
    for node in nodes:
        if isinstance(node, ast.Assign) and ast.unparse(node.value) == "None":
            named = ast.unparse(node.targets[0])
        elif isinstance(node, ast.If) and isinstance(
            node.body[-1], ast.Raise | ast.Return | ast.Continue
        ):
            named = ast.unparse(node.test).removesuffix(" is not None")
        else:
            continue
        behind = [
            other
            for other in nodes
            if isinstance(other, ast.Attribute)
            and other.lineno > (node.end_lineno or 0)
            and ast.unparse(other) == named
        ]
        first = min(behind, key=lambda other: other.lineno, default=None)
        if first is not None and not isinstance(first.ctx, ast.Store):
            yield f"{named}, line {first.lineno}"


@pytest.mark.parametrize("name", MODULES)
def test_nothing_is_taken_for_none_that_others_set_meanwhile(name: str) -> None:
    # For the translator it stays what it was, whatever was called or awaited: a TypeError then.
    for function in functions(name):
        assert not list(read_again(function)), function.name


def test_what_is_read_again_is_noticed() -> None:
    tree = ast.parse(
        "async def check(self):\n"
        "    if self.error is not None:\n"
        "        raise self.error\n"
        "    await self.others()\n"
        "    if self.error is not None:\n"
        "        raise self.error\n"
    )
    assert list(read_again(tree.body[0])) == ["self.error, line 5"]


@pytest.mark.parametrize("name", MODULES)
def test_what_uvloop_returns_otherwise_than_told_is_not_looked_at(name: str) -> None:
    # None where a bool is promised: a TypeError, unless nothing is promised.
    for function in functions(name):
        free = {
            ast.unparse(node.target)
            for node in ast.walk(function)
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "Any"
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Attribute) and node.attr in ("remove_reader", "remove_writer"):
                assert ast.unparse(node.value) in free, function.name


@pytest.mark.parametrize("name", MODULES)
def test_no_two_kinds_of_exceptions_have_one_name(name: str) -> None:
    # Within a function that has the type of the first, where that is a translated class.
    for function in functions(name):
        kinds: dict[str, set[str]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.ExceptHandler) and node.name and node.type:
                kinds.setdefault(node.name, set()).add(ast.unparse(node.type))
        for several in kinds.values():
            named = set(re.findall(r"\w+", " ".join(several)))
            assert len(several) == 1 or not TRANSLATED & named, function.name


def test_wheels_are_made_by_the_translator_of_the_tests() -> None:
    pinned = (ROOT / "requirements-dev.lock").read_text()
    assert re.search(rf"^{re.escape(backend.TRANSLATOR)} ", pinned, re.MULTILINE)
    build = re.search(r'requires = \["(setuptools==.*)"\]', (ROOT / "pyproject.toml").read_text())
    assert build is not None
    assert re.search(rf"^{re.escape(build[1])} ", pinned, re.MULTILINE)
