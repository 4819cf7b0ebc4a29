"""Produce (0) and InitProducerId (22).

Produce versions 0-13; 0-2 are answered UNSUPPORTED_VERSION per partition: they can only carry the
old message formats, but old librdkafka sends uncompressed unless the advertised range begins at 0
(KAFKA-18659). 13 names topics by their ids (KIP-516). From 10 on the answer for a partition that is
led elsewhere says where, if that is known (KIP-951). Records that a topic refuses are named one by
one from version 8 on (KIP-467). acks 1 and all mean the same here: durable (I1). With acks 0
nothing is answered; a failure closes the connection, as in Kafka, so that the client asks for
metadata again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.api.call import Call, CloseConnection, error_code
from gateway.api.leader_hints import LeaderHints
from gateway.broker.batch_checks import Allowance, BatchCheck
from gateway.broker.errors import BrokerError
from gateway.broker.partition import Partition
from gateway.broker.producer_state import SequenceError
from gateway.broker.topic_rules import TopicRules
from gateway.broker.topics import Topic
from gateway.broker.waiting import patience_s, wait_confirmed
from gateway.cluster.view import ClusterView
from gateway.observe.logger import log_event
from protocol import BatchError, BatchHeader, ErrorCode, set_max_timestamp, validate_batch
from protocol.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from protocol.messages.produce import (
    BatchIndexAndErrorMessage,
    LeaderIdAndEpoch,
    NodeEndpoint,
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)

logger = logging.getLogger(__name__)

FIRST_VERSION_WITH_BATCHES = 3
FIRST_VERSION_WITH_ZSTD = 7
FIRST_VERSION_WITH_HINTS = 10
FIRST_VERSION_WITH_TOPIC_IDS = 13
ZSTD_CODEC = 4
# With acks=1 Kafka answers when its leader has the batch, and looks at no timeout. Clients know
# that and send any; what is stored here is told for as long as anybody is likely to wait for it.
ACKS_ONE_PATIENCE_MS = 10_000
NO_TIMESTAMP = -1

Waiting = list[tuple[PartitionProduceResponse, asyncio.Future[None]]]


class _Part:
    """One partition's part of a request, on its way: found, checked, appended or failed."""

    __slots__ = ("answer", "check", "partition", "records", "topic", "topic_id")

    def __init__(self, topic: TopicProduceData, data: PartitionProduceData) -> None:
        self.topic = topic.name
        self.topic_id = topic.topic_id
        self.records = data.records
        self.answer = PartitionProduceResponse(index=data.index, base_offset=-1)
        self.partition: Partition | None = None
        self.check: BatchCheck | None = None


class _Appending:
    """One request's way through its partitions; one bad batch harms no other (I8)."""

    def __init__(self, request: ProduceRequest, call: Call) -> None:
        self._call = call
        self._refusal = _refusal(request, call.version)
        self._request = request
        self._parts = [
            [_Part(topic, data) for data in topic.partition_data] for topic in request.topic_data
        ]
        self.waiting: Waiting = []
        self.out_of_sequence: list[_Part] = []

    def _each(self) -> list[_Part]:
        """Those that have not failed."""
        return [part for parts in self._parts for part in parts if not part.answer.error_code]

    def check_at_once(self) -> bool:
        """Whether all batches are checked, or failed, in the time that one step may take."""
        allowance = Allowance()
        is_done = True
        for part in self._each():
            try:
                if part.check is None:
                    part.check = self._begin(part)
                is_done = part.check.at_once(allowance) and is_done
            except Exception as error:
                _fail(part.answer, error)
        return is_done

    def creations(self) -> list[asyncio.Future[None]]:
        """Of topics that are new and not durable yet."""
        found = []
        for part in self._each():
            topic = self._topic(part)
            if topic is not None and topic.created is not None and not topic.is_durable:
                found.append(topic.created)
        return found

    async def check_rest(self) -> None:
        for part in self._each():
            assert part.check is not None
            if not part.check.is_done:
                try:
                    await self._call.broker.check_lanes.finish(part.check)
                except Exception as error:
                    _fail(part.answer, error)

    @property
    def _is_by_id(self) -> bool:
        return self._call.version >= FIRST_VERSION_WITH_TOPIC_IDS

    def _topic(self, part: _Part) -> Topic | None:
        topics = self._call.broker.topics
        return topics.with_id(part.topic_id) if self._is_by_id else topics.named(part.topic)

    def _find(self, part: _Part) -> Partition:
        topic = self._topic(part)
        if topic is None:
            raise self._missing()
        found = self._call.broker.partition_by_id(topic.id, part.answer.index)
        if found is None:
            raise BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        part.partition = found
        if not found.is_served:
            raise BrokerError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        return found

    def _missing(self) -> BrokerError:
        """The topic is not there (any more)."""
        if self._is_by_id:
            return BrokerError(ErrorCode.UNKNOWN_TOPIC_ID)
        return BrokerError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)

    def _begin(self, part: _Part) -> BatchCheck:
        if self._refusal is not None:
            raise self._refusal
        broker = self._call.broker
        partition = self._find(part)
        if not isinstance(part.records, memoryview):
            raise BrokerError(ErrorCode.INVALID_RECORD, "the partition has no record batch")
        header = validate_batch(part.records)
        topic = partition.topic
        _check(topic, header, self._call.version)
        return BatchCheck(part.records, header, topic.record_rules(broker.now_ms()))

    def append(self) -> None:
        """All that was found good, in order; nothing waits."""
        now_ms, steady_ms = self._call.broker.now_ms(), self._call.broker.steady_ms()
        for part in self._each():
            try:
                self._append(part, now_ms, steady_ms)
            except Exception as error:
                if isinstance(error, SequenceError):
                    self.out_of_sequence.append(part)
                _fail(part.answer, error)

    async def be_sure(self) -> None:
        """What is known here of a producer is old news where another node has the log by now, and
        a client takes a wrong sequence for the end of its producer."""
        is_known = await self._call.broker.logs.assurance.look()
        for part in self.out_of_sequence:
            if not is_known or part.partition is None or not part.partition.is_served:
                _fail(part.answer, BrokerError(ErrorCode.NOT_LEADER_OR_FOLLOWER))

    def _append(self, part: _Part, now_ms: int, steady_ms: int) -> None:
        check, partition, answer = part.check, part.partition, part.answer
        assert check is not None
        assert partition is not None
        assert isinstance(part.records, memoryview)
        if partition.deleted:  # while its batch was checked
            raise self._missing()
        if not self._call.broker.is_durable(partition):
            # Of a topic that a crash may take away nothing is stored.
            raise BrokerError(ErrorCode.LEADER_NOT_AVAILABLE)
        header, latest_ms = check.header, check.max_timestamp_ms
        if header.max_timestamp_ms != latest_ms and not partition.topic.log_append_time:
            header.max_timestamp_ms = latest_ms
            set_max_timestamp(part.records, latest_ms)
        appended = partition.append(part.records, header, now_ms, steady_ms)
        answer.base_offset = appended.base_offset
        answer.log_start_offset = partition.log_start_offset
        answer.log_append_time_ms = appended.log_append_time_ms
        if appended.confirmation is not None:
            self.waiting.append((answer, appended.confirmation))

    def response(self) -> ProduceResponse:
        call = self._call
        return _response(call.broker.cluster, call.version, self._request.topic_data, self._parts)


def _response(
    cluster: ClusterView,
    version: int,
    topics: Sequence[TopicProduceData],
    parts_of: Sequence[Sequence[_Part]],
) -> ProduceResponse:
    elsewhere = [
        part
        for parts in parts_of
        for part in parts
        if part.answer.error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    ]
    responses = [
        TopicProduceResponse(
            name=topic.name,
            topic_id=topic.topic_id,
            partition_responses=[part.answer for part in parts],
        )
        for topic, parts in zip(topics, parts_of, strict=True)
    ]
    leaders = _leaders(cluster, version, elsewhere) if elsewhere else []
    return ProduceResponse(responses=responses, node_endpoints=leaders)


def _leaders(cluster: ClusterView, version: int, parts: Sequence[_Part]) -> list[NodeEndpoint]:
    hints = LeaderHints(cluster, may_tell=version >= FIRST_VERSION_WITH_HINTS)
    for part in parts:
        _tell_leader(part, hints)
    return [
        NodeEndpoint(node_id=node.node_id, host=node.host, port=node.port, rack=node.rack)
        for node in hints.nodes
    ]


def refused(
    cluster: ClusterView,
    version: int,
    topic: TopicProduceData,
    partition: Partition,
    error: BaseException,
) -> ProduceResponse:
    """The answer to a request with one batch, for `partition`, that was not stored."""
    part = _Part(topic, topic.partition_data[0])
    part.partition = partition
    _fail(part.answer, error)
    return _response(cluster, version, [topic], [[part]])


def _tell_leader(part: _Part, hints: LeaderHints) -> None:
    leader = hints.of(part.partition)
    if leader is not None:
        part.answer.current_leader = LeaderIdAndEpoch(
            leader_id=leader.node.node_id, leader_epoch=leader.epoch
        )


async def produce(request: ProduceRequest, call: Call) -> ProduceResponse | None:
    """Check and append every batch, in order, most of them before the first wait; answer when all
    are durable or the request's time is up.
    """
    appending = _Appending(request, call)
    creations = appending.creations()
    if call.produces.is_free and not creations and appending.check_at_once():
        appending.append()
    else:
        async with call.produces.turn():
            await wait_confirmed(creations, _patience_s(request))
            if not appending.check_at_once():
                await appending.check_rest()
            appending.append()
    if appending.out_of_sequence:
        await appending.be_sure()
    if appending.waiting:
        await _confirm(appending.waiting, _patience_s(request))
    response = appending.response()
    if request.acks == 0:
        _close_if_failed(response.responses)
        return None
    return response


def _close_if_failed(responses: list[TopicProduceResponse]) -> None:
    codes = {answer.error_code for topic in responses for answer in topic.partition_responses}
    # A batch that is only late was taken: nobody waits for its answer.
    if codes - {ErrorCode.NONE, ErrorCode.REQUEST_TIMED_OUT}:
        raise CloseConnection("a produce with acks=0 failed")


def _refusal(request: ProduceRequest, version: int) -> BrokerError | None:
    """Why nothing of the request can be taken, or None."""
    if version < FIRST_VERSION_WITH_BATCHES:
        return BrokerError(
            ErrorCode.UNSUPPORTED_VERSION, "Produce before version 3 cannot carry record batches"
        )
    if request.acks not in (-1, 0, 1):
        return BrokerError(
            ErrorCode.INVALID_REQUIRED_ACKS, f"acks is -1, 0 or 1, not {request.acks}"
        )
    if request.transactional_id is not None:
        return BrokerError(
            ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "transactions are not supported yet"
        )
    return None


def _check(topic: TopicRules, header: BatchHeader, version: int) -> None:
    if header.total_bytes > topic.message_bytes_max:
        raise BrokerError(
            ErrorCode.MESSAGE_TOO_LARGE,
            f"the batch has {header.total_bytes} bytes, topic {topic.name} takes "
            f"{topic.message_bytes_max} (max.message.bytes)",
        )
    if header.is_control or header.is_transactional:
        raise BrokerError(
            ErrorCode.INVALID_RECORD, "clients cannot write control or transactional batches here"
        )
    if header.codec == ZSTD_CODEC and version < FIRST_VERSION_WITH_ZSTD:
        raise BrokerError(
            ErrorCode.UNSUPPORTED_COMPRESSION_TYPE, "zstd needs Produce version 7 (KIP-110)"
        )
    if topic.is_internal:
        raise BrokerError(
            ErrorCode.INVALID_TOPIC_EXCEPTION, f"{topic.name} is written by the gateway alone"
        )


def _patience_s(request: ProduceRequest) -> float:
    return patience_of(request.acks, request.timeout_ms)


def patience_of(acks: int, timeout_ms: int) -> float:
    """How long, in seconds, a request waits for its batches to be durable."""
    return patience_s(max(timeout_ms, ACKS_ONE_PATIENCE_MS) if acks == 1 else timeout_ms)


async def _confirm(waiting: Waiting, timeout_s: float) -> None:
    confirmations = {confirmation for _, confirmation in waiting}
    await wait_confirmed(confirmations, timeout_s)
    for answer, confirmation in waiting:
        if not confirmation.done():
            _fail(
                answer, TimeoutError("not durable within the request's timeout; it may become so")
            )
        elif confirmation.cancelled():
            _fail(answer, TimeoutError("the gateway is stopping"))
        elif (error := confirmation.exception()) is not None:
            _fail(answer, error)


def _fail(answer: PartitionProduceResponse, error: BaseException) -> None:
    code = error_code(error)
    if code is ErrorCode.UNKNOWN_SERVER_ERROR:
        # Not expected by anybody. What the request appended elsewhere is still answered for.
        log_event(logger, logging.ERROR, "append failed", error=error, partition=answer.index)
    answer.error_code = code
    answer.error_message = str(error) or None
    if isinstance(error, BatchError):
        answer.record_errors = [
            BatchIndexAndErrorMessage(batch_index=index, batch_index_error_message=reason)
            for index, reason in error.records
        ]
    answer.base_offset = -1
    answer.log_start_offset = -1
    answer.log_append_time_ms = NO_TIMESTAMP


def produce_error(request: ProduceRequest, code: ErrorCode) -> ProduceResponse:
    if request.acks == 0:
        raise CloseConnection("a produce with acks=0 failed")
    return ProduceResponse(
        responses=[
            TopicProduceResponse(
                name=topic.name,
                topic_id=topic.topic_id,
                partition_responses=[
                    PartitionProduceResponse(index=p.index, error_code=code, base_offset=-1)
                    for p in topic.partition_data
                ],
            )
            for topic in request.topic_data
        ]
    )


async def init_producer_id(request: InitProducerIdRequest, call: Call) -> InitProducerIdResponse:
    """A fresh producer id with epoch 0; without a transactional id every call gives a new one."""
    if request.transactional_id is not None:
        raise BrokerError(
            ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED, "transactions are not supported yet"
        )
    if (request.producer_id == -1) != (request.producer_epoch == -1):
        raise BrokerError(
            ErrorCode.INVALID_REQUEST, "a known producer id comes with its epoch (KIP-360)"
        )
    producer_id = call.broker.new_producer_id()
    return InitProducerIdResponse(producer_id=producer_id, producer_epoch=0)


def init_producer_id_error(
    request: InitProducerIdRequest, code: ErrorCode
) -> InitProducerIdResponse:
    return InitProducerIdResponse(error_code=code, producer_id=-1, producer_epoch=-1)
