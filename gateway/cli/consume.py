"""`consume`: the records of a topic to standard output, from where one wants, until one has enough.

Rules: partitions are read by assignment; a group name here only means "remember how far I got"
(simple commits), it does not share the partitions with other members.
"""

import json
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

import click

from gateway.cli.client import EARLIEST, LATEST, KafkaClient, Partition, by_leader
from gateway.cli.connection import Api
from gateway.cli.errors import ClientError, KafkaError
from gateway.cli.group_offsets import GroupOffsets
from gateway.cli.options import DURATION, HELP, connecting, note, show_text
from protocol import ApiKey, BatchError, Record, iter_records, read_header
from protocol.messages.fetch import (
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)

FETCH = Api(ApiKey.FETCH, 11, FetchRequest, FetchResponse)
FETCH_BYTES_MAX = 8 * 1024 * 1024
PARTITION_BYTES_MAX = 1024 * 1024
# How long a fetch may wait for records: also how late --idle is noticed and a commit goes out.
FETCH_WAIT_MS = 500


class Fetched(NamedTuple):
    """A record and the partition it is in."""

    partition: int
    record: Record


class Columns(NamedTuple):
    """What is shown beside the value."""

    key: bool
    offset: bool
    timestamp: bool
    headers: bool


@click.command(context_settings=HELP)
@click.argument("topic")
@click.option("--from-beginning", is_flag=True, help="Start at the oldest record.")
@click.option("--offset", type=click.IntRange(0), help="Start at this offset.")
@click.option("--partition", type=click.IntRange(0), help="Read this partition only.")
@click.option(
    "--group",
    help="Start where the last run with this group name stopped; remember where this one does.",
)
@click.option("--max-messages", type=click.IntRange(1), help="Stop after this many records.")
@click.option(
    "--idle",
    "idle_ms",
    type=DURATION,
    help="Stop when no record came for so long. Default: never; Ctrl-C stops.",
)
@click.option("--print-key", is_flag=True, help="Show the key before the value.")
@click.option("--print-offset", is_flag=True, help="Show partition and offset before the value.")
@click.option("--print-timestamp", is_flag=True, help="Show the time before the value.")
@click.option("--print-headers", is_flag=True, help="Show the headers before the value.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object with everything per record.")
@connecting
def consume(
    *,
    bootstrap: tuple[str, int],
    timeout_ms: int,
    topic: str,
    from_beginning: bool,
    offset: int | None,
    partition: int | None,
    group: str | None,
    max_messages: int | None,
    idle_ms: int | None,
    print_key: bool,
    print_offset: bool,
    print_timestamp: bool,
    print_headers: bool,
    as_json: bool,
) -> None:
    """Read records from TOPIC and print their values, one per line.

    Starts with the next record that is written, unless told otherwise.

    \b
    Everything there is, then wait for more:
        woodpecker-gateway consume greetings --from-beginning
    Ten records with all there is to know about them:
        woodpecker-gateway consume greetings --from-beginning --max-messages 10 --json
    """
    if from_beginning and offset is not None:
        raise click.UsageError("--from-beginning and --offset exclude each other")
    columns = Columns(print_key, print_offset, print_timestamp, print_headers)
    with KafkaClient(bootstrap, timeout_ms) as client:
        partitions = _choose(client, topic, partition)
        positions = _start(client, topic, partitions, offset, from_beginning)
        offsets = GroupOffsets(client, group, topic) if group is not None else None
        if offsets is not None and offset is None:
            positions.update(offsets.read(p.number for p in partitions))
            offsets.write(positions)  # so that "the end" is a place to come back to as well
        if idle_ms is None and max_messages is None:
            note(f"Reading {topic}. Ctrl-C stops.")
        try:
            left_count = max_messages
            for batch in Reader(client, topic, partitions, positions).batches(idle_ms):
                shown = batch[:left_count]
                for number, record in shown:
                    _show(topic, number, record, columns, as_json)
                    positions[number] = record.offset + 1
                sys.stdout.flush()
                if offsets is not None:
                    offsets.write(positions)
                if left_count is not None and (left_count := left_count - len(shown)) == 0:
                    break
        except KeyboardInterrupt:  # the ordinary way to stop
            pass
        except BrokenPipeError:  # the other: the reader has seen enough, as in `... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _choose(client: KafkaClient, topic: str, wanted: int | None) -> list[Partition]:
    partitions = client.again(lambda: client.partitions(topic))
    if wanted is None:
        return partitions
    chosen = [p for p in partitions if p.number == wanted]
    if not chosen:
        raise ClientError(
            f"topic {topic} has no partition {wanted}",
            f"--partition 0 to {len(partitions) - 1}",
        )
    return chosen


def _start(
    client: KafkaClient,
    topic: str,
    partitions: list[Partition],
    offset: int | None,
    from_beginning: bool,
) -> dict[int, int]:
    if offset is not None:
        return {p.number: offset for p in partitions}
    return client.offsets(topic, partitions, EARLIEST if from_beginning else LATEST)


class Reader:
    """Fetches one topic from the nodes that lead its partitions.

    Its positions say what was fetched; what was shown, and may be committed, the caller counts.
    """

    def __init__(
        self,
        client: KafkaClient,
        topic: str,
        partitions: list[Partition],
        positions: dict[int, int],
    ) -> None:
        self._client = client
        self._topic = topic
        self._nodes = by_leader(partitions)
        self._next = dict(positions)

    def batches(self, idle_ms: int | None) -> Iterator[list[Fetched]]:
        """What each fetch brought, in offset order per partition; never an empty list.

        Ends after `idle_ms` without any record, else never.
        """
        waited_ms = 0
        while idle_ms is None or waited_ms < idle_ms:
            wait_ms = FETCH_WAIT_MS if idle_ms is None else min(FETCH_WAIT_MS, idle_ms - waited_ms)
            # One node may wait for records; several, asked in turn, would hold each other up.
            wait_ms //= len(self._nodes)
            any_came = False
            for node_id, numbers in self._nodes.items():
                if batch := list(self._fetch(node_id, numbers, wait_ms)):
                    any_came = True
                    yield batch
            waited_ms = 0 if any_came else waited_ms + max(1, wait_ms * len(self._nodes))

    def _fetch(self, node_id: int, numbers: list[int], wait_ms: int) -> Iterator[Fetched]:
        wanted = [
            FetchPartition(
                partition=i, fetch_offset=self._next[i], partition_max_bytes=PARTITION_BYTES_MAX
            )
            for i in numbers
        ]
        body = FetchRequest(
            max_wait_ms=wait_ms,
            min_bytes=1,
            max_bytes=FETCH_BYTES_MAX,
            topics=[FetchTopic(topic=self._topic, partitions=wanted)],
        )
        reply = self._client.request(FETCH, body, node_id=node_id, wait_ms=wait_ms)
        if reply.error_code:
            raise KafkaError(reply.error_code, f"topic {self._topic}")
        for row in (p for t in reply.responses for p in t.partitions):
            yield from self._read(row)

    def _read(self, row: PartitionData) -> Iterator[Fetched]:
        index = row.partition_index
        if row.error_code:
            about = f"topic {self._topic}, partition {index}, offset {self._next[index]}"
            raise KafkaError(row.error_code, about)
        data = memoryview(row.records) if isinstance(row.records, bytes | memoryview) else b""
        at = 0
        while at < len(data):
            try:
                header = read_header(data, at)
                end = at + header.total_bytes
                if end > len(data):
                    break  # Kafka may cut the last batch; it comes whole the next time
                if not header.is_control:
                    for record in iter_records(data[at:end]):
                        if record.offset >= self._next[index]:
                            yield Fetched(index, record)
            except BatchError as e:
                raise ClientError(
                    f"topic {self._topic}, partition {index}: {e}",
                    f"--partition {index} --offset {header.end_offset} to go on behind it",
                ) from e
            self._next[index] = header.end_offset
            at = end


def _show(topic: str, partition: int, record: Record, columns: Columns, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_json(topic, partition, record)))
        return
    cells = []
    if columns.timestamp:
        cells.append(_time(record.timestamp_ms))
    if columns.offset:
        cells.append(f"{partition}:{record.offset}")
    if columns.headers:
        cells.append(",".join(f"{name}={show_text(value)}" for name, value in record.headers))
    if columns.key:
        cells.append(show_text(record.key))
    cells.append(show_text(record.value))
    print("\t".join(cells))


def _as_json(topic: str, partition: int, record: Record) -> dict[str, object]:
    return {
        "topic": topic,
        "partition": partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        **_json_bytes("key", record.key),
        "headers": [{"name": name, **_json_bytes("value", v)} for name, v in record.headers],
        **_json_bytes("value", record.value),
    }


def _json_bytes(name: str, data: bytes | None) -> dict[str, object]:
    """Text as it is; bytes that are none under `<name>_base64`, so that nothing is lost."""
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        from base64 import b64encode  # noqa: PLC0415 - rarely needed

        return {f"{name}_base64": b64encode(data).decode("ascii")}


def _time(timestamp_ms: int) -> str:
    try:
        stamp = datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    except (ValueError, OverflowError, OSError):  # a client may store any number
        return str(timestamp_ms)
    return stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
