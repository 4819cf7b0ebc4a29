"""All facts of an API stand in its row."""

import ast
from pathlib import Path

import pytest

import gateway
from gateway.api import API_TABLE, ReplyClass
from protocol import ApiKey

ROOT = Path(gateway.__file__).parent
# The table and its rows; who speaks to a broker instead of being one.
MAY_NAME_AN_API = ("api/__init__.py", "api/row.py", "api/forwarding.py", "cli/")


def _askers(source: str) -> list[str]:
    """What in a module asks which API it has to do with."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name | ast.alias) and "ApiKey" in ast.unparse(node):
            found.append("ApiKey")
        if isinstance(node, ast.Compare):
            for side in (node.left, *node.comparators):
                text = ast.unparse(side)
                if text.endswith((".api_key", "api.key", "api.name")):
                    found.append(ast.unparse(node))
    return found


def test_nobody_else_asks_which_api_it_is() -> None:
    asking = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        if {"tests", "testing"} & set(path.relative_to(ROOT).parts) or name.startswith(
            MAY_NAME_AN_API
        ):
            continue
        if found := _askers(path.read_text()):
            asking[name] = found
    assert asking == {}


@pytest.mark.parametrize(
    "line",
    [
        "from protocol import ApiKey",
        "if header.api_key == 0: pass",
        "x = request.api.key in (0, 1)",
        "if 'Fetch' == api.name: pass",
    ],
)
def test_who_asks_would_be_noticed(line: str) -> None:
    assert _askers(line)


def test_what_the_rows_say() -> None:
    def named(*flags: str) -> dict[str, list[str]]:
        return {f: [a.name for a in API_TABLE.values() if getattr(a, f)] for f in flags}

    assert named("pipelined", "parks", "brings_data", "answers_excess", "answers_any_version") == {
        "pipelined": ["Produce", "Fetch"],
        "parks": ["Fetch", "JoinGroup", "SyncGroup"],
        "brings_data": ["Produce"],
        "answers_excess": ["JoinGroup"],
        "answers_any_version": ["ApiVersions"],
    }
    assert [a.name for a in API_TABLE.values() if a.reply is ReplyClass.DATA] == ["Fetch"]
    assert [a.name for a in API_TABLE.values() if a.reply is ReplyClass.LARGE] == [
        "ListOffsets",
        "Metadata",
        "OffsetFetch",
        "DescribeGroups",
        "ListGroups",
        "DescribeConfigs",
        "DescribeLogDirs",
        "DescribeClientQuotas",
        "DescribeProducers",
        "ListConfigResources",
    ]


def test_everything_needs_a_permission_but_to_ask_what_is_served() -> None:
    free = [api.key for api in API_TABLE.values() if api.permission is None]
    assert free == [ApiKey.API_VERSIONS]
    said = {
        a.name: f"{a.permission.operation.value} {a.permission.resource.value}"
        for a in API_TABLE.values()
        if a.permission is not None
    }
    assert (said["Produce"], said["Fetch"], said["JoinGroup"], said["DescribeCluster"]) == (
        "Write Topic",
        "Read Topic",
        "Read Group",
        "Describe Cluster",
    )
