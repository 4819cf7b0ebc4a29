"""`produce`: lines of standard input, or one value given as an option, as records of a topic."""

import json
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import click

from gateway.cli.client import KafkaClient, Partition
from gateway.cli.connection import Api
from gateway.cli.errors import KafkaError
from gateway.cli.options import HELP, connecting, note, parse_pairs
from protocol import ApiKey, Record, build_batch
from protocol.messages.produce import (
    PartitionProduceData,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
)
from wal_core import SystemClock

PRODUCE = Api(ApiKey.PRODUCE, 9, ProduceRequest, ProduceResponse)
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")  # the index is Kafka's number
# A batch goes out when it has this much: few requests, and far from the broker's limits.
BATCH_RECORDS_MAX_COUNT = 5_000
BATCH_BYTES_MAX = 512 * 1024
_ALL_REPLICAS = -1


class Line(NamedTuple):
    """A record to be: key and value, None for Kafka's null."""

    key: bytes | None
    value: bytes | None

    @property
    def size_bytes(self) -> int:
        return len(self.key or b"") + len(self.value or b"")


class Target(NamedTuple):
    """Where records go and what they all have."""

    topic: str
    partitions: list[Partition]
    headers: list[tuple[str, bytes | None]]
    codec: int
    timeout_ms: int
    as_json: bool


@click.command(context_settings=HELP)
@click.argument("topic")
@click.option("--value", help="Write this one value instead of the lines of standard input.")
@click.option("--key", help="Key of every record.")
@click.option("--null", "null_value", is_flag=True, help="Write a null value (a tombstone).")
@click.option(
    "--key-separator",
    metavar="TEXT",
    help="Split each line here: what is before is the key.",
)
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option(
    "--partition",
    type=click.IntRange(0),
    help="Default: by the key's hash, or in turn, batch by batch, without a key.",
)
@click.option(
    "--count",
    type=click.IntRange(1, 100_000_000),
    default=1,
    help="Write the value given by --value (or --null) this many times.",
)
@click.option("--compression", type=click.Choice(CODECS), default="none", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per batch.")
@connecting
def produce(
    *,
    bootstrap: tuple[str, int],
    timeout_ms: int,
    topic: str,
    value: str | None,
    key: str | None,
    null_value: bool,
    key_separator: str | None,
    headers: tuple[str, ...],
    partition: int | None,
    count: int,
    compression: str,
    as_json: bool,
) -> None:
    """Write records to TOPIC and print the offsets they got.

    \b
    Each line of standard input is a record:
        printf 'one\\ntwo\\n' | woodpecker-gateway produce greetings
    Or one value, with a key:
        woodpecker-gateway produce greetings --key user-1 --value hello

    A missing topic is created if the broker does so (its --auto-create). When a line is printed,
    those records are durable.
    """
    if value is not None and null_value:
        raise click.UsageError("--value and --null exclude each other")
    if count != 1 and value is None and not null_value:
        raise click.UsageError("--count repeats what --value or --null gives, and neither is there")
    fixed_key = None if key is None else key.encode()
    if value is not None or null_value:
        payload = None if value is None else value.encode()
        lines: Iterable[Line] = (Line(fixed_key, payload) for _ in range(count))
    else:
        if sys.stdin.isatty():
            note("One record per line; Ctrl-D ends.")
        lines = _stdin_lines(fixed_key, key_separator)
    header_pairs: list[tuple[str, bytes | None]] = [
        (name, text.encode()) for name, text in parse_pairs(headers, "--header")
    ]
    with KafkaClient(bootstrap, timeout_ms) as client:
        partitions = client.again(lambda: client.partitions(topic, create=True))
        if partition is not None:
            partitions = [p for p in partitions if p.number == partition]
            if not partitions:
                raise KafkaError(3, f"topic {topic}, partition {partition}")
        target = Target(
            topic, partitions, header_pairs, CODECS.index(compression), timeout_ms, as_json
        )
        # Somebody who types wants to see each line arrive; a file is better sent in batches.
        records_max_count = 1 if sys.stdin.isatty() else BATCH_RECORDS_MAX_COUNT
        for batch_number, batch in enumerate(_batches(lines, records_max_count)):
            _send(client, target, batch, batch_number)


def _stdin_lines(key: bytes | None, separator: str | None) -> Iterator[Line]:
    split_at = separator.encode() if separator else None
    for raw in sys.stdin.buffer:
        line = raw.rstrip(b"\r\n")
        if split_at and split_at in line:
            own_key, _, rest = line.partition(split_at)
            yield Line(own_key, rest)
        else:
            yield Line(key, line)


def _batches(lines: Iterable[Line], records_max_count: int) -> Iterator[list[Line]]:
    batch: list[Line] = []
    size_bytes = 0
    for line in lines:
        if batch and size_bytes + line.size_bytes > BATCH_BYTES_MAX:
            yield batch
            batch, size_bytes = [], 0
        batch.append(line)
        size_bytes += line.size_bytes
        if len(batch) >= records_max_count:
            yield batch
            batch, size_bytes = [], 0
    if batch:
        yield batch


def choose_partition(key: bytes | None, count: int, batch_number: int) -> int:
    """The place of a record among `count` partitions: librdkafka's rule (CRC-32) for keys."""
    return batch_number % count if key is None else zlib.crc32(key) % count


def _send(client: KafkaClient, target: Target, batch: Sequence[Line], batch_number: int) -> None:
    places: dict[Partition, list[Line]] = {}
    for line in batch:
        at = choose_partition(line.key, len(target.partitions), batch_number)
        places.setdefault(target.partitions[at], []).append(line)
    now_ms = SystemClock().now_ms()
    for partition, lines in places.items():
        records = [Record(0, now_ms, line.key, line.value, target.headers) for line in lines]
        offset = client.again(partial(_send_one, client, target, partition, records))
        _report(target, partition.number, offset, len(lines))


def _send_one(
    client: KafkaClient, target: Target, partition: Partition, records: Sequence[Record]
) -> int:
    """Write one batch to one partition; returns the offset of its first record."""
    data = PartitionProduceData(
        index=partition.number, records=build_batch(records, codec=target.codec)
    )
    body = ProduceRequest(
        acks=_ALL_REPLICAS,
        timeout_ms=target.timeout_ms,
        topic_data=[TopicProduceData(name=target.topic, partition_data=[data])],
    )
    reply = client.request(PRODUCE, body, node_id=partition.leader_id, wait_ms=target.timeout_ms)
    (row,) = (p for t in reply.responses for p in t.partition_responses)
    if row.error_code:
        about = f"topic {target.topic}, partition {partition.number}"
        raise KafkaError(row.error_code, about, row.error_message)
    return row.base_offset


def _report(target: Target, partition: int, offset: int, count: int) -> None:
    if target.as_json:
        facts = {"topic": target.topic, "partition": partition, "offset": offset, "count": count}
        click.echo(json.dumps(facts))
    elif count == 1:
        click.echo(f"{target.topic} partition {partition} offset {offset}")
    else:
        last = offset + count - 1
        click.echo(f"{target.topic} partition {partition} offsets {offset} to {last}")
