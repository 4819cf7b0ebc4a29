"""`python -m protocol.tests.bench`: what the hot paths cost, in microseconds (best of several)."""

import sys
import timeit
from collections.abc import Callable

from protocol import (
    Record,
    build_batch,
    decode_request,
    decode_request_header,
    encode_request,
    encode_response,
    stamp,
    validate_batch,
)
from protocol.messages.fetch import (
    FetchableTopicResponse,
    FetchPartition,
    FetchRequest,
    FetchResponse,
    FetchTopic,
    PartitionData,
)
from protocol.messages.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)

RECORDS = memoryview(bytes(65536))


def report(name: str, function: Callable[[], object], count: int = 20_000) -> None:
    best = min(timeit.repeat(function, number=count, repeat=7)) / count * 1e6
    sys.stdout.write(f"{name:44}{best:10.2f} us\n")


def decode(api_key: int, version: int, request) -> Callable[[], object]:
    frame = memoryview(b"".join(encode_request(api_key, version, 5, "client", request)))[4:]

    def whole() -> object:
        header, at = decode_request_header(frame)
        return decode_request(header, frame, at)

    return whole


def fetch_response() -> FetchResponse:
    partition = PartitionData(0, 0, 100, 100, 0, records=RECORDS)
    return FetchResponse(responses=[FetchableTopicResponse("topic", partitions=[partition])])


def metadata_response() -> MetadataResponse:
    partitions = [MetadataResponsePartition(0, i, 1, 1, [1], [1], []) for i in range(1000)]
    topics = [MetadataResponseTopic(name="topic", partitions=partitions)]
    return MetadataResponse(brokers=[MetadataResponseBroker(1, "host", 9092)], topics=topics)


def main() -> None:
    for size in (65536, 1 << 20):
        data = [TopicProduceData("topic", [PartitionProduceData(0, bytes(size))])]
        produce = decode(0, 9, ProduceRequest(acks=-1, timeout_ms=30000, topic_data=data))
        report(f"Produce v9, {size} bytes: decode", produce)
    topics = [FetchTopic("topic", partitions=[FetchPartition(0, 3, 100, -1, -1, 1 << 20)])]
    report("Fetch v12: decode", decode(1, 12, FetchRequest(max_wait_ms=500, topics=topics)))
    ready = fetch_response()
    report("Fetch v12, 64 KiB: encode to pieces", lambda: encode_response(1, 12, 5, ready))
    report("  with its objects", lambda: encode_response(1, 12, 5, fetch_response()))
    done = ProduceResponse([TopicProduceResponse("topic", [PartitionProduceResponse(0, 0, 100)])])
    report("Produce v9: encode", lambda: encode_response(0, 9, 5, done))
    metadata = metadata_response()
    report(
        "Metadata v12, 1000 partitions: encode", lambda: encode_response(3, 12, 5, metadata), 100
    )
    batch = build_batch([Record(timestamp_ms=i, value=bytes(640)) for i in range(100)])
    report(f"batch of {len(batch)} bytes: validate", lambda: validate_batch(batch))
    report("  stamp", lambda: stamp(batch, 100, 1))


if __name__ == "__main__":
    main()
