"""Kafka's command line tools, one after the other: the script, and what of their words can differ.

The same script runs against Apache Kafka and against a gateway; what each step printed and its
exit status are compared. Steps build on each other.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from compat_tests.support.client import WORKERS, Client, Library
from compat_tests.support.javac import program

_TOOLS = "org.apache.kafka.tools."
TOPICS = _TOOLS + "TopicCommand"
GROUPS = _TOOLS + "consumer.group.ConsumerGroupCommand"
CONFIGS = "kafka.admin.ConfigCommand"
OFFSETS = _TOOLS + "GetOffsetShell"
LOG_DIRS = _TOOLS + "LogDirsCommand"
DELETE_RECORDS = _TOOLS + "DeleteRecordsCommand"
CONSUME = _TOOLS + "consumer.ConsoleConsumer"
PRODUCE = _TOOLS + "ConsoleProducer"
PRODUCE_PERF = _TOOLS + "ProducerPerformance"
CONSUME_PERF = _TOOLS + "ConsumerPerformance"
ELECT = _TOOLS + "LeaderElectionCommand"
REASSIGN = _TOOLS + "reassign.ReassignPartitionsCommand"
TRANSACTIONS = _TOOLS + "TransactionsCommand"
QUORUM = _TOOLS + "MetadataQuorumCommand"
CLUSTER = _TOOLS + "ClusterTool"
VERSIONS = _TOOLS + "BrokerApiVersionsCommand"
ACLS = _TOOLS + "AclCommand"
METRICS = _TOOLS + "ClientMetricsCommand"
# Where Kafka 3.9 has them.
_OF_39 = {
    PRODUCE: "kafka.tools.ConsoleProducer",
    VERSIONS: "kafka.admin.BrokerApiVersionsCommand",
    ACLS: "kafka.admin.AclCommand",
}


def tools_of(version: str) -> Library:
    """Those of a Kafka, in a process that runs one after the other."""
    jars = [f"org.apache.kafka:{name}:{version}" for name in ("kafka_2.13", "kafka-tools")]
    name = f"kafka-tools-{version.rpartition('.')[0]}"
    return Library(name, "java", lambda: program(WORKERS / "java", "Worker", *jars))


@dataclass(frozen=True)
class Step:
    """One call of a tool."""

    name: str
    main: str
    arguments: tuple[str, ...]
    stdin: str = ""
    sorted_lines: bool = False
    """Their order is not given."""
    lines_with: str = ""
    """Others are about what other tests have made."""
    since: int = 3
    """The first Kafka whose tool can do it."""
    status_only: bool = False
    """What it prints is about the broker that it asks."""


@dataclass(frozen=True)
class Outcome:
    """What a step came to, in words that two brokers share."""

    status: int
    out: str
    errors: str


def script(topic: str, folder: Path) -> Iterator[Step]:
    """`topic` is also the name of its group."""
    yield from _of_topics(topic)
    yield from _of_records(topic, folder)
    yield from _of_groups(topic, folder)
    yield from _of_configs(topic)
    yield from _of_brokers(topic, folder)
    yield _topics("delete the topic", "--delete", "--topic", topic)
    yield _topics("delete another", "--delete", "--topic", f"{topic}-perf")
    yield _topics("delete it again", "--delete", "--topic", topic)
    yield _topics("delete if it exists", "--delete", "--if-exists", "--topic", topic)


def _topics(name: str, *arguments: str) -> Step:
    return Step(f"topics: {name}", TOPICS, arguments)


def _of_topics(topic: str) -> Iterator[Step]:
    named = ("--topic", topic)
    three = ("--partitions", "3", "--replication-factor", "1")
    yield _topics("create", "--create", *named, *three, "--config", "retention.ms=600000")
    yield _topics("create again", "--create", *named, *three)
    yield _topics("create if not there", "--create", "--if-not-exists", *named, *three)
    yield _topics("a name that is not one", "--create", "--topic", "not/a/name")
    yield _topics(
        "a setting that is not one",
        "--create",
        "--topic",
        topic + "-x",
        "--config",
        "retention.ms=soon",
    )
    yield _topics("list", "--list", *named)
    yield _topics("describe", "--describe", *named)
    yield _topics("describe a missing one", "--describe", "--topic", topic + "-missing")
    yield _topics("with overrides", "--describe", *named, "--topics-with-overrides")
    yield _topics("under-replicated", "--describe", *named, "--under-replicated-partitions")
    yield _topics("unavailable", "--describe", *named, "--unavailable-partitions")
    yield _topics("at minimum", "--describe", *named, "--at-min-isr-partitions")
    yield _topics("more partitions", "--alter", *named, "--partitions", "4")
    yield _topics("as many partitions", "--alter", *named, "--partitions", "4")
    yield _topics("fewer partitions", "--alter", *named, "--partitions", "2")
    yield _topics("describe four", "--describe", *named)


def _of_records(topic: str, folder: Path) -> Iterator[Step]:
    named = ("--topic", topic)
    keyed = ("--property", "parse.key=true", "--property", "key.separator=:")
    lines = "".join(f"key-{number}:value-{number}\n" for number in range(20))
    yield Step("console producer", PRODUCE, (*named, *keyed), stdin=lines)
    yield Step(
        "console producer with acks and a codec",
        PRODUCE,
        (*named, *keyed, "--compression-codec", "zstd", "--request-required-acks", "1"),
        stdin=lines,
    )
    shown = [f"print.{name}=true" for name in ("key", "partition", "offset", "headers")]
    properties = [word for name in shown for word in ("--property", name)]
    yield Step(
        "console consumer of a group",
        CONSUME,
        (*named, "--group", topic, "--from-beginning", "--max-messages", "40", *properties),
        sorted_lines=True,
    )
    yield Step(
        "console consumer of a partition",
        CONSUME,
        (*named, "--partition", "0", "--offset", "1", "--timeout-ms", "2000"),
    )
    for time in ("-1", "-2", "-4", "-5", "latest", "earliest", "1"):
        yield Step(f"get-offsets: {time}", OFFSETS, (*named, "--time", time))
    # Which record has the greatest timestamp is a matter of milliseconds.
    yield Step("get-offsets: -3", OFFSETS, (*named, "--time", "-3"), status_only=True)
    yield Step("get-offsets: some", OFFSETS, ("--topic-partitions", f"{topic}:1-3,{topic}:0"))
    yield Step("get-offsets: a missing topic", OFFSETS, ("--topic", topic + "-missing"))
    path = folder / "delete.json"
    wanted = [{"topic": topic, "partition": number, "offset": 1} for number in range(3)]
    path.write_text(json.dumps({"partitions": wanted, "version": 1}))
    yield Step(
        "delete-records", DELETE_RECORDS, ("--offset-json-file", str(path)), sorted_lines=True
    )
    yield Step("get-offsets: after that", OFFSETS, (*named, "--time", "-2"))
    yield Step(
        "producer-perf-test",
        PRODUCE_PERF,
        (
            "--topic", f"{topic}-perf", "--num-records", "5000", "--record-size", "100",
            "--throughput", "-1",
            "--producer-props", "bootstrap.servers={bootstrap}", "linger.ms=5",
        ),
        status_only=True,
    )  # fmt: skip
    yield Step(
        "consumer-perf-test",
        CONSUME_PERF,
        (
            "--topic",
            f"{topic}-perf",
            "--group",
            f"{topic}-perf",
            "--messages",
            "5000",
            "--timeout",
            "20000",
        ),
        status_only=True,
    )


def _of_groups(topic: str, folder: Path) -> Iterator[Step]:
    group = ("--group", topic)
    all_of_it = (*group, "--topic", topic)

    def step(name: str, *arguments: str) -> Step:
        return Step(f"groups: {name}", GROUPS, arguments, sorted_lines=True)

    def listing(name: str, *arguments: str) -> Step:
        return Step(f"groups: {name}", GROUPS, ("--list", *arguments), lines_with=topic)

    yield listing("list")
    yield listing("list with states", "--state")
    yield listing("list those of a state", "--state", "stable")
    yield listing("list with types", "--type")
    yield step("describe", "--describe", *group)
    yield step("describe offsets", "--describe", "--offsets", "--verbose", *group)
    yield step("describe members", "--describe", "--members", "--verbose", *group)
    yield step("describe state", "--describe", "--state", *group)
    yield step("describe a missing one", "--describe", "--group", topic + "-missing")
    reset = ("--reset-offsets", *all_of_it)
    for way in (
        ("--to-earliest",),
        ("--to-latest",),
        ("--to-current",),
        ("--shift-by", "-2"),
        ("--to-offset", "2"),
        ("--by-duration", "PT0H10M0S"),
        ("--to-datetime", "2020-01-01T00:00:00.000"),
    ):
        yield step(f"reset {way[0]} dry", *reset, *way, "--dry-run")
    yield step("reset", *reset, "--to-earliest", "--execute")
    yield step("reset beyond the end", *reset, "--to-offset", "100000", "--execute")
    yield step("describe after that", "--describe", *group)
    plan = folder / "plan.csv"
    plan.write_text(f"{topic},0,1\n{topic},1,2\n")
    yield step(
        "reset from a file", "--reset-offsets", *group, "--from-file", str(plan), "--execute"
    )
    yield step("export", *reset, "--to-current", "--export", "--dry-run")
    yield step(
        "reset one partition", "--reset-offsets", *group, "--topic", f"{topic}:2",
        "--to-latest", "--execute",
    )  # fmt: skip
    yield step("reset of a new group", "--reset-offsets", "--group", topic + "-new",
               "--topic", topic, "--to-earliest", "--execute")  # fmt: skip
    yield step("delete offsets", "--delete-offsets", *group, "--topic", f"{topic}:0")
    yield step("describe without them", "--describe", *group)
    yield step("delete offsets of a missing topic", "--delete-offsets", *group, "--topic", "nil")
    yield step("delete", "--delete", *group)
    yield step("delete again", "--delete", *group)
    yield listing("list after that")


def _of_configs(topic: str) -> Iterator[Step]:
    named = ("--entity-type", "topics", "--entity-name", topic)

    def step(name: str, *arguments: str) -> Step:
        return Step(f"configs: {name}", CONFIGS, arguments, sorted_lines=True)

    yield step("describe", "--describe", *named)
    yield step("describe all", "--describe", "--all", *named)
    yield step(
        "alter", "--alter", *named, "--add-config", "retention.ms=700000,max.message.bytes=100000"
    )
    yield step("describe after that", "--describe", *named)
    yield step("alter a list", "--alter", *named, "--add-config", "cleanup.policy=[compact,delete]")
    yield step("delete", "--alter", *named, "--delete-config", "retention.ms,cleanup.policy")
    yield step("delete what is not set", "--alter", *named, "--delete-config", "segment.bytes")
    yield step("a bad value", "--alter", *named, "--add-config", "retention.ms=soon")
    yield step("a bad name", "--alter", *named, "--add-config", "no.such=1")
    yield step("describe at the end", "--describe", *named)
    yield step(
        "describe a missing topic", "--describe", "--entity-type", "topics", "--entity-name",
        topic + "-missing",
    )  # fmt: skip
    broker = ("--entity-type", "brokers", "--entity-name", "1")
    yield step("describe the broker", "--describe", *broker)
    yield Step(
        "configs: all of the broker", CONFIGS, ("--describe", "--all", *broker), status_only=True
    )
    yield step("describe all brokers", "--describe", "--entity-type", "brokers", "--entity-default")
    yield Step(
        "configs: loggers",
        CONFIGS,
        ("--describe", "--entity-type", "broker-loggers", "--entity-name", "1"),
        status_only=True,
    )
    user = ("--entity-type", "users", "--entity-name", "u", "--entity-type", "clients",
            "--entity-name", "c")  # fmt: skip
    # On its way to their quotas it looks for the users' passwords.
    yield step("describe a user", "--describe", "--entity-type", "users", "--entity-name", topic)
    yield step("describe all users", "--describe", "--entity-type", "users")
    yield step("describe no quota", "--describe", *user)
    yield step("set a quota", "--alter", *user, "--add-config", "producer_byte_rate=1000000")
    yield step("describe the quota", "--describe", *user)
    yield step("a bad quota", "--alter", *user, "--add-config", "no_such_rate=1")
    yield step("take the quota away", "--alter", *user, "--delete-config", "producer_byte_rate")
    yield step("describe it again", "--describe", *user)
    group = ("--entity-type", "groups", "--entity-name", topic)
    yield step("describe a group", "--describe", *group)


def _of_brokers(topic: str, folder: Path) -> Iterator[Step]:
    yield Step(
        "log-dirs", LOG_DIRS, ("--describe", "--topic-list", topic, "--broker-list", "1"),
        status_only=True,
    )  # fmt: skip
    yield Step("log-dirs: no such broker", LOG_DIRS, ("--describe", "--broker-list", "77"))
    elect = ("--election-type", "preferred", "--topic", topic)
    yield Step("elect the preferred", ELECT, (*elect, "--partition", "0"))
    yield Step(
        "elect any", ELECT, ("--election-type", "unclean", "--topic", topic, "--partition", "0")
    )
    yield Step("elect for no partition", ELECT, (*elect, "--partition", "77"))
    yield Step("reassignments", REASSIGN, ("--list",))
    plan = folder / "reassign.json"
    moved = [{"topic": topic, "partition": 0, "replicas": [1]}]
    plan.write_text(json.dumps({"version": 1, "partitions": moved}))
    yield Step("reassign", REASSIGN, ("--reassignment-json-file", str(plan), "--execute"))
    throttled = ("--reassignment-json-file", str(plan), "--execute", "--throttle", "1000000")
    yield Step("reassign with a throttle", REASSIGN, throttled)
    yield Step("verify reassignment", REASSIGN, ("--reassignment-json-file", str(plan), "--verify"))
    yield Step("transactions", TRANSACTIONS, ("list",), status_only=True)
    yield Step("hanging transactions", TRANSACTIONS, ("find-hanging", "--broker-id", "1"))
    yield Step("metrics that clients push", METRICS, ("--list",))
    producers = ("describe-producers", "--topic", topic, "--partition", "0")
    yield Step("producers", TRANSACTIONS, producers, status_only=True)
    yield Step("quorum status", QUORUM, ("describe", "--status"), status_only=True)
    yield Step("quorum replication", QUORUM, ("describe", "--replication"), status_only=True)
    yield Step("cluster id", CLUSTER, ("cluster-id",))
    yield Step("cluster endpoints", CLUSTER, ("list-endpoints",), since=4)
    yield Step("api versions", VERSIONS, (), status_only=True)
    yield Step("acls", ACLS, ("--list",))


# Tools that take the address after a sub-command, or have it among their own settings.
_LATE = {CLUSTER}
_OWN = {PRODUCE_PERF}


def run(client: Client, step: Step) -> Outcome:
    """The tool of this client's Kafka, against this client's broker."""
    address = ("--bootstrap-server", client.bootstrap)
    arguments = tuple(word.replace("{bootstrap}", client.bootstrap) for word in step.arguments)
    if step.main in _LATE:
        arguments += address
    elif step.main not in _OWN:
        arguments = (*address, *arguments)
    main = _OF_39.get(step.main, step.main) if client.library.name.endswith("3.9") else step.main
    done = client.call("tool", main=main, arguments=arguments, stdin=step.stdin)
    if step.status_only:
        return Outcome(done["status"], "", "")
    out = _plain(done["out"], client)
    if step.sorted_lines or step.lines_with:
        lines = (line for line in out.splitlines() if step.lines_with in line)
        out = "\n".join(sorted(lines))
    return Outcome(done["status"], out, _first_errors(_plain(done["err"], client)))


_IDS = re.compile(r"(?<=TopicId: )[\w-]{22}|(?<=Cluster ID: )\S+")
_TIMES = re.compile(r"\b1[6-9]\d{11}\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,]\d+")


_STACKS = re.compile(r"^\s+(at .*|\.\.\. \d+ more)\n", re.MULTILINE)
_FOLDERS = re.compile(r'("log_dirs":\[")[^"]*')
# What a broker says of an error in its own words, behind what the error is.
_REASONS = re.compile(r"((?:errors\.\w+Exception|executing topic command ):).*")


def _plain(text: str, client: Client) -> str:
    text = text.replace(client.bootstrap, "BROKER")
    text = text.replace(client.bootstrap.rpartition(":")[2], "PORT")
    for pattern, plain in ((_STACKS, ""), (_IDS, "ID"), (_TIMES, "TIME"), (_FOLDERS, r"\1FOLDER")):
        text = pattern.sub(plain, text)
    return re.sub(" +", " ", _REASONS.sub(r"\1", text))


def _first_errors(text: str) -> str:
    """What went wrong, without where in the tool's own code and without logging."""
    lines = [
        line
        for line in text.splitlines()
        if re.search(r"(Error|Exception)", line) and not re.match(r"\s+at |SLF4J|\[|.* WARN ", line)
    ]
    return "\n".join(dict.fromkeys(lines))
