"""Settings, defaults, sums, log lines and names in the documents are those of the code."""

import re
from collections.abc import Iterator

import click
import pytest

from compat_tests.milvus.test_workload import PRODUCER_26
from compat_tests.repo.files import ROOT, read, repository_files
from gateway.broker.broker_configs import KAFKA_VERSION
from gateway.broker.topic_configs import ACTED_ON
from gateway.cli.main import cli
from gateway.settings.config import Config, default_text
from gateway.settings.load import CONFIG_ENV
from gateway.settings.log_settings import FLUSH_PRESETS
from gateway.settings.options import OPTIONS
from gateway.settings.values import parse_duration, parse_size, show_size

PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
BY_FLAG = {option.flag: option for option in OPTIONS}
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_SAID = re.compile(r"`(--[a-z0-9-]+)` \(([0-9]+[A-Za-z]*(?: \+ [0-9]+[A-Za-z]+)?)\)")


def prose(page: str) -> str:
    return _FENCE.sub("", read(page))


def rows(page: str) -> Iterator[dict[str, str]]:
    """Every row of every table: heading -> cell."""
    for table in re.findall(r"(?:^\|.*\n)+", prose(page), re.MULTILINE):
        head, _, *lines = (
            [cell.strip() for cell in row[1:-1].split("|")] for row in table.splitlines()
        )
        for line in lines:
            yield dict(zip(head, line, strict=True))


def flags_of(command: click.Command) -> set[str]:
    flags = {flag for param in command.params for flag in (*param.opts, *param.secondary_opts)}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            flags |= flags_of(found)
    return flags | {"--help", "--version"}


def test_every_setting_that_is_named_exists() -> None:
    ours = flags_of(cli)
    environment = {option.env for option in OPTIONS} | {CONFIG_ENV}
    for page in PAGES:
        named = set(re.findall(r"`(--[a-z0-9-]+)", prose(page)))
        assert named <= ours, (page, named - ours)
        variables = set(re.findall(r"\bWOODPECKER_[A-Z_0-9]+", read(page)))
        assert variables <= environment, (page, variables - environment)


def test_every_default_in_a_table_is_the_default() -> None:
    count = 0
    for page in PAGES:
        for row in rows(page):
            said = row.get("default here", row.get("default"))
            named = [
                flag for cell in row.values() for flag in re.findall(r"`(--[a-z0-9-]+)`", cell)
            ]
            option = BY_FLAG.get(named[0]) if named else None
            if said is not None and option is not None:
                assert said == default_text(option), (page, row)
                count += 1
    assert count > 40


def test_every_default_in_a_sentence_is_the_default() -> None:
    found = [(page, *said) for page in PAGES for said in _SAID.findall(prose(page))]
    assert len(found) >= 3
    for page, flag, said in found:
        assert said == default_text(BY_FLAG[flag]), (page, flag)


def test_kafkas_defaults_agree_where_ours_is_said_to_be_kafkas() -> None:
    """Rows of both defaults: what reads as the same number must be the same."""
    for row in rows("docs/from-kafka.md"):
        kafkas = row.get("Kafka's default", "")
        if "ms`" in row.get("`server.properties`", "") and kafkas.isdigit():
            flag = re.findall(r"`(--[a-z0-9-]+)`", row["here"])[0]
            ours = parse_duration(default_text(BY_FLAG[flag]))
            differs = flag in ("--garbage-grace-ms", "--group-initial-rebalance-delay-ms")
            assert (ours != int(kafkas)) == differs, row


def test_the_memory_of_all_bounds_is_their_sum() -> None:
    sized = [row for row in rows("docs/operations.md") if "holds" in row]
    *each, total = sized
    assert total["setting"] == "together"
    assert parse_size(total["default"]) == sum(parse_size(row["default"]) for row in each)
    assert show_size(Config().buffered_bytes_max) in {row["default"] for row in each}


def test_the_bill_of_each_preset_is_what_it_comes_to() -> None:
    bills = {
        row["`--flush-preset`"].split("`")[1]: row
        for row in rows("docs/operations.md")
        if "dollars a month" in row
    }
    assert set(bills) == set(FLUSH_PRESETS)
    for name, rate in FLUSH_PRESETS.items():
        writes = rate.writes_per_s_max * 30 * 86_400
        row = bills[name]
        assert row["writes a second"].startswith(f"up to {rate.writes_per_s_max:g}")
        assert float(re.findall(r"[\d.]+", row["writes a month"])[0]) == pytest.approx(
            writes / 1e6, rel=0.01
        )
        assert int(row["dollars a month"].removeprefix("up to ").replace(",", "")) == round(
            writes * 5 / 1e6
        )


def test_the_bill_of_several_logs_is_what_it_comes_to() -> None:
    head = "dollars a month, of a log's writes a second"
    table = {row[head]: row for row in rows("docs/operations.md") if head in row}
    month_s = 30 * 86_400
    for busy_count in (1, 3, 12):
        shown = {
            name: int(row[f"{busy_count} busy log{'s' * (busy_count > 1)}"].replace(",", ""))
            for name, row in table.items()
        }
        for name in (name for name in shown if name.isdecimal()):
            cost = int(name) * busy_count * month_s * Config().put_price_per_million / 1e6
            assert shown[name] == round(cost)
        looks = busy_count * month_s * Config().get_price_per_million / 1e6
        assert shown["looking after the log while it writes"] == round(looks)
        for preset, rate in FLUSH_PRESETS.items():
            most = rate.writes_per_s_max * month_s * Config().put_price_per_million / 1e6
            assert shown[f"at most with one broker, `{preset}`"] == round(most)


def test_the_sentences_to_mind_are_logged() -> None:
    sources = [
        path.read_text(encoding="utf-8")
        for path in repository_files(ROOT / "wal_core")
        if path.suffix == ".py" and "tests" not in path.parts
    ]
    for row in rows("docs/operations.md"):
        if "sentence" in row:
            text = row["sentence"].strip("`").replace(" N", " %d")
            assert any(text in source for source in sources), text


def test_the_version_of_kafka_is_the_one_that_is_shown() -> None:
    assert f"Kafka {KAFKA_VERSION.removesuffix('-IV0')} " in read("docs/from-kafka.md")


def test_the_topic_settings_that_are_acted_on_are_named() -> None:
    text = read("docs/from-kafka.md").partition("Acted on are ")[2].partition("What `segment")[0]
    assert set(re.findall(r"`([a-z.]+)`", text)) == ACTED_ON


def test_what_is_told_to_milvus_is_what_its_tests_use() -> None:
    block = read("docs/milvus.md").partition("  producer:\n")[2].partition("```")[0]
    told = dict(line.strip().split(": ") for line in block.splitlines())
    assert told == {"socket.nagle.disable": "true"}
    assert PRODUCER_26["socket.nagle.disable"] is True
