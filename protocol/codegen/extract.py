"""Kafka's message JSON -> our table. Only facts are taken: names, types, ranges, tags, defaults.

The JSON is read from an installed kafka-python, a development dependency (`extract_kio` has what is
missing there), and where that is older than what we speak, from the jar of kafka-clients (OF_JAR);
the sentences that describe fields are not copied. Ranges are cut to what this gateway speaks
(RANGES).
"""

import importlib.resources
import json
import re
import zipfile
from typing import Any

from protocol.codegen import extract_kio
from protocol.codegen.table import camel_to_snake

RANGES: dict[str, tuple[int, int]] = {
    "Produce": (0, 13),
    "Fetch": (0, 18),
    "ListOffsets": (0, 11),
    "Metadata": (0, 13),
    "OffsetCommit": (0, 10),
    "OffsetFetch": (0, 10),
    "FindCoordinator": (0, 6),
    "JoinGroup": (0, 9),
    "Heartbeat": (0, 4),
    "LeaveGroup": (0, 5),
    "SyncGroup": (0, 5),
    "DescribeGroups": (0, 6),
    "ListGroups": (0, 5),
    "ApiVersions": (0, 5),
    "CreateTopics": (0, 7),
    "DeleteTopics": (0, 6),
    "DeleteRecords": (0, 2),
    "InitProducerId": (0, 5),
    "OffsetForLeaderEpoch": (0, 4),
    "DescribeConfigs": (0, 4),
    "AlterConfigs": (0, 2),
    "DescribeLogDirs": (0, 5),
    "CreatePartitions": (0, 3),
    "DeleteGroups": (0, 3),
    "IncrementalAlterConfigs": (0, 1),
    "DescribeAcls": (0, 3),
    "CreateAcls": (0, 3),
    "DeleteAcls": (0, 3),
    "ElectLeaders": (0, 2),
    "OffsetDelete": (0, 0),
    "AlterPartitionReassignments": (0, 1),
    "ListPartitionReassignments": (0, 0),
    "DescribeClientQuotas": (0, 1),
    "AlterClientQuotas": (0, 1),
    "DescribeUserScramCredentials": (0, 0),
    "AlterUserScramCredentials": (0, 0),
    "DescribeQuorum": (0, 2),
    "DescribeCluster": (0, 2),
    "DescribeProducers": (0, 0),
    "DescribeTransactions": (0, 0),
    "ListTransactions": (0, 1),
    "ConsumerGroupHeartbeat": (0, 1),
    "DescribeTopicPartitions": (0, 0),
    "ListConfigResources": (0, 1),
}
"""Some reach below what Kafka 4 serves: Produce because old librdkafka must be answered there
(KIP-896, KAFKA-18659), OffsetCommit and OffsetFetch for clients as old as sarama's of 0.9."""

OF_KIO = frozenset({"ConsumerGroupHeartbeat"})
"""What kafka-python has no definition of."""

OF_JAR = frozenset({"ApiVersions", "DeleteGroups"})
"""Whose newest version is in no Python package: Kafka 4.4 came with them."""

HEADER = """\
# The wire schema of Kafka's request and response messages, as far as this gateway speaks them.
# Written by `python -m protocol.codegen --extract`; facts only, from Kafka's message definitions.
#
# request|response <api key> <struct> <first>-<last version> flexible=<first flexible version>
#   <field> <type> <first>-<last version> [null=<range>] [tag=<number>] [default=<value>]
#     members of a struct or array-of-struct type follow, one level deeper
"""


def extract_table(present: str, jar: str | None = None) -> str:
    """The text of schema_table.txt. `jar` is the path of kafka-clients; without one, what only it
    defines stays as the `present` text has it.

    ValueError where that has nothing of it either.
    """
    lines = [HEADER]
    for api, (first, last) in RANGES.items():
        for kind in ("request", "response"):
            name = api + kind.capitalize()
            if api in OF_KIO:
                lines += extract_kio.message_lines(api, kind, first, last)
            elif api not in OF_JAR:
                lines += _message_lines(_load(name), kind, first, last)
            elif jar is not None:
                lines += _message_lines(_load_from(jar, name), kind, first, last)
            else:
                lines += _kept_lines(present, name, first, last)
            lines.append("")
    return "\n".join(lines)


def _load(name: str) -> dict[str, Any]:
    folder = importlib.resources.files("kafka.protocol.schemas") / "resources"
    return _parse((folder / f"{name}.json").read_text())


def _load_from(jar: str, name: str) -> dict[str, Any]:
    with zipfile.ZipFile(jar) as archive:
        return _parse(archive.read(f"common/message/{name}.json").decode())


def _parse(text: str) -> dict[str, Any]:
    loaded = json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.MULTILINE))
    assert isinstance(loaded, dict)
    return loaded


def _kept_lines(present: str, name: str, first: int, last: int) -> list[str]:
    head = rf"^(?:request|response) \d+ {name} {first}-{last} .*\n(?:  .*\n)*"
    found = re.search(head, present, flags=re.MULTILINE)
    if found is None:
        raise ValueError(
            f"{name} {first}-{last} is neither in the table nor in a Python package: "
            "give --jar the path of a kafka-clients that has it"
        )
    return found[0].splitlines()


def _message_lines(message: dict[str, Any], kind: str, first: int, last: int) -> list[str]:
    commons = {each["name"]: each["fields"] for each in message.get("commonStructs", ())}
    flexible_from = _parse_range(str(message["flexibleVersions"]), first, 99)
    flexible = "none" if flexible_from is None else str(flexible_from[0])
    head = f"{kind} {message['apiKey']} {message['name']} {first}-{last} flexible={flexible}"
    return [head, *_field_lines(message["fields"], first, last, "  ", commons)]


def _field_lines(
    fields: object, first: int, last: int, indent: str, commons: dict[str, object]
) -> list[str]:
    """A struct that several fields have in common is written down where it is met first."""
    assert isinstance(fields, list)
    lines = []
    for field in fields:
        versions = _parse_range(str(field["versions"]), first, last)
        if versions is None:
            continue
        parts = [camel_to_snake(field["name"]), field["type"], "{}-{}".format(*versions)]
        nullable = _parse_range(field.get("nullableVersions", "none"), *versions)
        if nullable is not None:
            parts.append("null={}-{}".format(*nullable))
        if "tag" in field:
            tagged = _parse_range(field["taggedVersions"], *versions)
            assert tagged == versions, "a field that is tagged in some versions only"
            parts.append(f"tag={field['tag']}")
        if "default" in field and str(field["default"]) != "":
            parts.append(f"default={field['default']}")
        lines.append(indent + " ".join(parts))
        members = field.get("fields") or commons.pop(field["type"].removeprefix("[]"), [])
        lines += _field_lines(members, first, last, indent + "  ", commons)
    return lines


def _parse_range(text: str, first: int, last: int) -> tuple[int, int] | None:
    """Kafka's "3+", "1-7", "4" or "none", cut to first..last; None when nothing is left."""
    if text == "none":
        return None
    low_text, dash, high_text = text.rstrip("+").partition("-")
    low = int(low_text)
    high = last if text.endswith("+") else int(high_text if dash else low_text)
    low, high = max(low, first), min(high, last)
    return (low, high) if low <= high else None
