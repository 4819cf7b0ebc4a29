"""HISTORY.md is the contract: its tables are compared with the code, its example is checked."""

import re
from pathlib import Path

import pytest

from gateway.verify import lines
from gateway.verify.checks import CHECKS
from gateway.verify.load import load_history
from gateway.verify.report import verify

DOCUMENT = (Path(__file__).parents[1] / "HISTORY.md").read_text()


def block(kind: str) -> str:
    found = re.search(rf"```{kind}\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found, kind
    return found[1]


def table(name: str) -> list[list[str]]:
    found = re.search(rf"<!-- table: {name} -->\n\|.*\n\|.*\n((?:\|.*\n)+)", DOCUMENT)
    assert found, name
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in found[1].splitlines()]


def test_the_example_is_read_and_judged_as_documented() -> None:
    history = load_history(block("json history").encode().splitlines(keepends=True))
    report = verify(history)
    text = "\n".join(report.text())
    assert block("text verdict") in text + "\n"
    assert report.anomalies == {"hole": 1}
    assert history.events == {"crash": 1}
    assert list(history.keys["orders-0"].offsets) == [0, -1, 2]


def test_every_single_line_of_the_document_is_one() -> None:
    documented = re.findall(r'^\{"type".*\}$', DOCUMENT, re.MULTILINE)
    assert {type(lines.decode_line(line.encode(), 1)) for line in documented} == {
        lines.HistoryLine,
        lines.Invoke,
        lines.Ok,
        lines.Info,
        lines.EventLine,
        lines.PutLine,
        lines.BucketLine,
    }


def test_the_fields_are_those_of_the_lines() -> None:
    documented = {name.strip("`") for name, *_ in table("operation fields")}
    assert documented == {"type", *lines.OpLine.__struct_fields__}
    for field in lines.Observed.__struct_fields__:
        assert f"`{field}`" in DOCUMENT


def test_the_checks_are_those_of_the_table() -> None:
    documented = [tuple(row) for row in table("checks")]
    assert documented == [(f"`{c.name}`", c.rule, c.severity) for c in CHECKS]


@pytest.mark.parametrize("f", [row[0].strip("`") for row in table("operations")])
def test_every_documented_operation_is_interpreted(f: str) -> None:
    value = {
        "send": '[["send","k",1]]',
        "commit": '{"k":1}',
        "committed": '{"k":1}',
        "assign": '{"k":1}',
        "seek": '{"k":null}',
    }.get(f, "null")
    done = value.replace('"k",1', '"k",[0,1]')
    raw = [
        '{"type":"history","version":1}',
        f'{{"type":"invoke","process":1,"f":"{f}","value":{value},"group":"g","time_ms":1}}',
        f'{{"type":"ok","process":1,"f":"{f}","value":{done},"time_ms":2}}',
    ]
    history = load_history([line.encode() for line in raw])
    assert history.foreign == {}
    assert history.ops == {(f, "ok"): 1}
