"""The generated files are what the table says, and the table is what the source of facts says."""

import json
import zipfile

import pytest

from protocol.codegen import __main__ as command
from protocol.codegen.__main__ import RECORDS_TABLE, TABLE, generate, read, stale
from protocol.codegen.emit import emit_module
from protocol.codegen.extract import OF_JAR, RANGES, extract_table
from protocol.codegen.table import Range, camel_to_snake, intervals, parse_tables


def test_messages_are_up_to_date() -> None:
    assert stale() == []


def test_table_is_what_is_extracted() -> None:
    assert read(TABLE) == extract_table(read(TABLE))


def test_what_no_package_defines_comes_from_a_jar_or_stays(tmp_path) -> None:
    """That it is what the real jar says is looked at in compat_tests/repo, where there is one."""
    table = read(TABLE)
    lost = table.replace("request 18 ApiVersionsRequest", "request 18 OtherRequest")
    with pytest.raises(ValueError, match=r"ApiVersionsRequest 0-5.*--jar"):
        extract_table(lost)
    jar = tmp_path / "kafka-clients.jar"
    schema = {
        "apiKey": 18,
        "flexibleVersions": "3+",
        "fields": [{"name": "AddedHere", "type": "int8", "versions": "5+"}],
    }
    with zipfile.ZipFile(jar, "w") as archive:
        for name in (f"{api}{kind}" for api in OF_JAR for kind in ("Request", "Response")):
            text = "// a licence\n" + json.dumps(schema | {"name": name})
            archive.writestr(f"common/message/{name}.json", text)
    made = extract_table(lost, str(jar))
    assert "request 18 ApiVersionsRequest 0-5 flexible=3\n  added_here int8 5-5\n\n" in made


def test_every_range_is_in_the_table() -> None:
    tops = {
        each.name: each.versions
        for module in parse_tables(read(TABLE))
        for each in module.structs
        if each.api_key is not None
    }
    for api, (first, last) in RANGES.items():
        assert tops[f"{api}Request"] == tops[f"{api}Response"] == Range(first, last)


def test_generating_is_deterministic() -> None:
    assert generate() == generate()


@pytest.mark.parametrize(
    ("camel", "snake"),
    [("TimeoutMs", "timeout_ms"), ("TopicId", "topic_id"), ("SCRAMHash", "scram_hash")],
)
def test_names(camel: str, snake: str) -> None:
    assert camel_to_snake(camel) == snake


def test_intervals_cut_where_the_class_changes() -> None:
    assert intervals(Range(1, 5), lambda version: version >= 3) == [
        (Range(1, 2), False),
        (Range(3, 5), True),
    ]


def test_response_struct_of_a_known_name_gets_a_suffix() -> None:
    text = """
request 0 XRequest 0-1 flexible=none
  items []Item 0-1
    a int32 0-1
response 0 XResponse 0-1 flexible=none
  items []Item 0-1
    b int32 0-1
"""
    (module,) = parse_tables(text)
    assert [each.name for each in module.structs] == [
        "Item",
        "XRequest",
        "ItemResponse",
        "XResponse",
    ]


def test_a_field_may_not_hide_a_local_name() -> None:
    (module,) = parse_tables("request 0 XRequest 0-1 flexible=none\n  version int16 0-1\n")
    with pytest.raises(ValueError, match=r"XRequest\.version"):
        emit_module(module)


def test_unknown_columns_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown column"):
        parse_tables("request 0 XRequest 0-1 flexible=none\n  a int16 0-1 colour=red\n")


def test_hand_kept_table_parses() -> None:
    names = [module.name for module in parse_tables(read(RECORDS_TABLE))]
    assert names == ["group_records", "consumer_protocol"]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """The command, writing to a folder of its own."""
    (tmp_path / "messages").mkdir()
    # What no package defines is taken from there; the rest is written anew.
    (tmp_path / "schema_table.txt").write_text(
        read(TABLE).replace("request 0 Produce", "request 0 P")
    )
    monkeypatch.setattr(command, "TABLE", str(tmp_path / "schema_table.txt"))
    monkeypatch.setattr(command, "MESSAGES", str(tmp_path / "messages"))
    return tmp_path


def run(monkeypatch, *options: str) -> int:
    monkeypatch.setattr("sys.argv", ["codegen", *options])
    return command.main()


def test_command_extracts_generates_and_checks(elsewhere, monkeypatch, capsys) -> None:
    assert run(monkeypatch, "--extract") == 0
    assert (elsewhere / "schema_table.txt").read_text() == read(TABLE)
    assert run(monkeypatch, "--check") == 0
    fetch = elsewhere / "messages" / "fetch.py"
    fetch.write_text(fetch.read_text() + "# edited\n")
    (elsewhere / "messages" / "left_over.py").write_text("")
    assert run(monkeypatch, "--check") == 1
    said = capsys.readouterr().err
    assert "fetch.py" in said
    assert "left_over.py" in said
    assert run(monkeypatch) == 0
    assert "# edited" not in fetch.read_text()
