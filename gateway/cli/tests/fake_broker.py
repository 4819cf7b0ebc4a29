"""A broker in a thread for tests of the command line: one topic map in memory, errors on demand.

It answers with our own codec, which protocol/tests hold against independent ones; what is tested
here is what the commands ask for and what they make of the answers.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from struct import Struct
from typing import Any, Self

from protocol import (
    ErrorCode,
    Message,
    decode_request,
    decode_request_header,
    encode_response,
    message_classes,
    stamp,
    validate_batch,
)
from protocol.messages.api_versions import ApiVersion, ApiVersionsResponse
from protocol.messages.create_topics import CreatableTopicResult, CreateTopicsResponse
from protocol.messages.delete_records import (
    DeleteRecordsPartitionResult,
    DeleteRecordsResponse,
    DeleteRecordsTopicResult,
)
from protocol.messages.delete_topics import DeletableTopicResult, DeleteTopicsResponse
from protocol.messages.describe_configs import (
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
)
from protocol.messages.fetch import FetchableTopicResponse, FetchResponse, PartitionData
from protocol.messages.find_coordinator import FindCoordinatorResponse
from protocol.messages.incremental_alter_configs import (
    AlterConfigsResourceResponse,
    IncrementalAlterConfigsResponse,
)
from protocol.messages.list_offsets import (
    ListOffsetsPartitionResponse,
    ListOffsetsResponse,
    ListOffsetsTopicResponse,
)
from protocol.messages.metadata import (
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)
from protocol.messages.offset_commit import (
    OffsetCommitResponse,
    OffsetCommitResponsePartition,
    OffsetCommitResponseTopic,
)
from protocol.messages.offset_fetch import (
    OffsetFetchResponse,
    OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
)
from protocol.messages.produce import (
    PartitionProduceResponse,
    ProduceResponse,
    TopicProduceResponse,
)

_LENGTH = Struct(">i")
NODE_ID = 7


class FakeBroker:
    """Listens on a free port of loopback while used as a context manager."""

    def __init__(self) -> None:
        self.topics: dict[str, list[list[bytearray]]] = {}  # batches by topic and partition
        self.committed: dict[tuple[str, str, int], int] = {}
        self.requests: list[Message] = []
        self.refuse: dict[int, list[int]] = {}  # API key -> error codes for the next requests
        self.keys = [0, 1, 2, 3, 8, 9, 10, 18, 19, 20, 21, 32, 44]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join(10)  # it may just have accepted one more
        self.drop_connections()
        for thread in self._threads:
            thread.join(10)

    def drop_connections(self) -> None:
        """Hang up on everybody."""
        while self._sockets:
            connection = self._sockets.pop()
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _start(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._sockets.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, EOFError), connection.makefile("rb") as stream:
            while True:
                (length,) = _LENGTH.unpack(_exactly(stream, 4))
                frame = memoryview(bytearray(_exactly(stream, length)))
                header, at = decode_request_header(frame)
                request = decode_request(header, frame, at)
                self.requests.append(request)
                codes = self.refuse.get(header.api_key)
                code = codes.pop(0) if codes else 0
                reply = _ANSWERS[type(request).__name__](self, request, code)
                pieces = encode_response(
                    header.api_key, header.api_version, header.correlation_id, reply
                )
                connection.sendall(b"".join(pieces))

    def api_versions(self, request: Any, code: int) -> Message:
        rows = []
        for key in self.keys:
            _, _, low, high, _ = message_classes(key)
            rows.append(ApiVersion(api_key=key, min_version=low, max_version=high))
        return ApiVersionsResponse(error_code=code, api_keys=rows)

    def metadata(self, request: Any, code: int) -> Message:
        names = sorted(self.topics) if request.topics is None else [t.name for t in request.topics]
        rows = []
        for name in names:
            if name not in self.topics and request.allow_auto_topic_creation:
                self.topics[name] = [[]]
            partitions = [
                MetadataResponsePartition(partition_index=i, leader_id=NODE_ID)
                for i in range(len(self.topics.get(name, [])))
            ]
            error = code or (0 if partitions else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
            internal = name.startswith("__")
            rows.append(
                MetadataResponseTopic(
                    error_code=error, name=name, partitions=partitions, is_internal=internal
                )
            )
        node = MetadataResponseBroker(node_id=NODE_ID, host="127.0.0.1", port=self.port)
        return MetadataResponse(brokers=[node], topics=rows)

    def produce(self, request: Any, code: int) -> Message:
        topic = request.topic_data[0]
        rows = []
        for data in topic.partition_data:
            batches = self.topics[topic.name][data.index]
            offset = -1
            if not code:
                offset = sum(validate_batch(batch).record_count for batch in batches)
                batch = bytearray(data.records)
                validate_batch(batch)
                stamp(batch, offset, 0)
                batches.append(batch)
            rows.append(
                PartitionProduceResponse(
                    index=data.index,
                    error_code=code,
                    base_offset=offset,
                    error_message="no" if code else None,
                )
            )
        return ProduceResponse(
            responses=[TopicProduceResponse(name=topic.name, partition_responses=rows)]
        )

    def list_offsets(self, request: Any, code: int) -> Message:
        topic = request.topics[0]
        rows = []
        for wanted in topic.partitions:
            batches = self.topics[topic.name][wanted.partition_index]
            end = sum(validate_batch(batch).record_count for batch in batches)
            rows.append(
                ListOffsetsPartitionResponse(
                    partition_index=wanted.partition_index,
                    error_code=code,
                    offset=0 if wanted.timestamp == -2 else end,
                )
            )
        return ListOffsetsResponse(
            topics=[ListOffsetsTopicResponse(name=topic.name, partitions=rows)]
        )

    def fetch(self, request: Any, code: int) -> Message:
        topic = request.topics[0]
        rows = []
        for wanted in topic.partitions:
            batches = self.topics[topic.topic][wanted.partition]
            newer = [b for b in batches if validate_batch(b).end_offset > wanted.fetch_offset]
            # All batches at once, and a piece of one more: what Kafka may do at its byte limit.
            data = b"".join(newer) + (bytes(newer[-1][:70]) if newer else b"")
            rows.append(
                PartitionData(partition_index=wanted.partition, error_code=code, records=data)
            )
        return FetchResponse(responses=[FetchableTopicResponse(topic=topic.topic, partitions=rows)])

    def create_topics(self, request: Any, code: int) -> Message:
        topic = request.topics[0]
        if topic.name in self.topics:
            code = ErrorCode.TOPIC_ALREADY_EXISTS
        count = max(1, topic.num_partitions)
        if not code:
            self.topics[topic.name] = [[] for _ in range(count)]
        row = CreatableTopicResult(name=topic.name, error_code=code, num_partitions=count)
        return CreateTopicsResponse(topics=[row])

    def delete_topics(self, request: Any, code: int) -> Message:
        (name,) = request.topic_names
        if self.topics.pop(name, None) is None:
            code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        return DeleteTopicsResponse(responses=[DeletableTopicResult(name=name, error_code=code)])

    def delete_records(self, request: Any, code: int) -> Message:
        topic = request.topics[0]
        rows = [
            DeleteRecordsPartitionResult(
                partition_index=p.partition_index, low_watermark=p.offset, error_code=code
            )
            for p in topic.partitions
        ]
        return DeleteRecordsResponse(
            topics=[DeleteRecordsTopicResult(name=topic.name, partitions=rows)]
        )

    def alter_configs(self, request: Any, code: int) -> Message:
        row = AlterConfigsResourceResponse(
            error_code=code,
            error_message="no" if code else None,
            resource_type=2,
            resource_name=request.resources[0].resource_name,
        )
        return IncrementalAlterConfigsResponse(responses=[row])

    def describe_configs(self, request: Any, code: int) -> Message:
        name = request.resources[0].resource_name
        configs = [
            DescribeConfigsResourceResult(name="retention.ms", value="1", config_source=1),
            DescribeConfigsResourceResult(name="cleanup.policy", value="delete", config_source=5),
        ]
        row = DescribeConfigsResult(
            error_code=code, resource_type=2, resource_name=name, configs=configs
        )
        return DescribeConfigsResponse(results=[row])

    def find_coordinator(self, request: Any, code: int) -> Message:
        return FindCoordinatorResponse(
            error_code=code, node_id=NODE_ID, host="127.0.0.1", port=self.port
        )

    def offset_fetch(self, request: Any, code: int) -> Message:
        topic = request.topics[0]
        rows = [
            OffsetFetchResponsePartition(
                partition_index=i,
                committed_offset=self.committed.get((request.group_id, topic.name, i), -1),
            )
            for i in topic.partition_indexes
        ]
        return OffsetFetchResponse(
            topics=[OffsetFetchResponseTopic(name=topic.name, partitions=rows)], error_code=code
        )

    def offset_commit(self, request: Any, code: int) -> Message:
        topic = request.topics[0]
        rows = []
        for wanted in topic.partitions:
            place = (request.group_id, topic.name, wanted.partition_index)
            self.committed[place] = wanted.committed_offset
            rows.append(
                OffsetCommitResponsePartition(
                    partition_index=wanted.partition_index, error_code=code
                )
            )
        return OffsetCommitResponse(
            topics=[OffsetCommitResponseTopic(name=topic.name, partitions=rows)]
        )


_ANSWERS: dict[str, Callable[[FakeBroker, Any, int], Message]] = {
    "ApiVersionsRequest": FakeBroker.api_versions,
    "MetadataRequest": FakeBroker.metadata,
    "ProduceRequest": FakeBroker.produce,
    "ListOffsetsRequest": FakeBroker.list_offsets,
    "FetchRequest": FakeBroker.fetch,
    "CreateTopicsRequest": FakeBroker.create_topics,
    "DeleteTopicsRequest": FakeBroker.delete_topics,
    "DeleteRecordsRequest": FakeBroker.delete_records,
    "DescribeConfigsRequest": FakeBroker.describe_configs,
    "IncrementalAlterConfigsRequest": FakeBroker.alter_configs,
    "FindCoordinatorRequest": FakeBroker.find_coordinator,
    "OffsetFetchRequest": FakeBroker.offset_fetch,
    "OffsetCommitRequest": FakeBroker.offset_commit,
}


def _exactly(stream: Any, size: int) -> bytes:
    data: bytes = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data
