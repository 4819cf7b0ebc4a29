"""The short way of a small produce beside the messages' own code, and compiled beside Python."""

import random  # noqa: TID251  (seeded)

import pytest

from protocol import (
    ApiKey,
    BatchError,
    BatchHeader,
    Record,
    RecordRules,
    build_batch,
    check_records,
    decode_request,
    decode_request_header,
    encode_request,
    encode_response,
    read_small_produce,
    small_answer,
    small_batch,
    small_produce,
    validate_batch,
)
from protocol.messages.produce import (
    PartitionProduceData,
    PartitionProduceResponse,
    ProduceRequest,
    ProduceResponse,
    TopicProduceData,
    TopicProduceResponse,
)
from protocol.record_check import ANY_RECORDS

NOW_MS = 1_700_000_000_000
VERSIONS = range(3, 14)
TOPIC_ID = bytes(range(16))
NEEDS_BUILD = pytest.mark.skipif(
    small_produce.COMPILED is None or small_produce.RECORDS is None,
    reason="compiled help was not built",
)


@pytest.fixture(params=[pytest.param("compiled", marks=NEEDS_BUILD), "python"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "python":
        monkeypatch.setattr(small_produce, "COMPILED", None)
        monkeypatch.setattr(small_produce, "RECORDS", None)


def a_batch(*values: bytes, **fields: int) -> bytearray:
    records = [Record(timestamp_ms=NOW_MS + n, value=v) for n, v in enumerate(values or (b"v",))]
    return build_batch(records, **fields)


def topic_of(version: int, *parts: PartitionProduceData, name: str = "orders") -> TopicProduceData:
    if version >= small_produce.FIRST_VERSION_WITH_IDS:
        return TopicProduceData(topic_id=TOPIC_ID, partition_data=[*parts])
    return TopicProduceData(name=name, partition_data=[*parts])


def a_request(version: int, **fields: object) -> ProduceRequest:
    data = PartitionProduceData(index=5, records=memoryview(a_batch(b"one", b"two")))
    request = ProduceRequest(acks=-1, timeout_ms=9_000, topic_data=[topic_of(version, data)])
    for name, value in fields.items():
        setattr(request, name, value)
    return request


def framed(version: int, request: ProduceRequest, client_id: str | None = "me") -> memoryview:
    pieces = encode_request(ApiKey.PRODUCE, version, 77, client_id, request)
    return memoryview(bytearray(b"".join(pieces))[4:])


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("client_id", ["me", "", None])
@pytest.mark.parametrize("name", ["t", "n" * 249])
def test_it_reads_what_the_messages_code_reads_and_answers_with_its_bytes(
    version: int, client_id: str | None, name: str
) -> None:
    data = PartitionProduceData(index=5, records=memoryview(a_batch(b"one", b"two")))
    topic = topic_of(version, data, name=name)
    for acks in (-1, 1):
        frame = framed(version, a_request(version, acks=acks, topic_data=[topic]), client_id)
        small = read_small_produce(frame)
        assert small is not None
        named = topic.topic_id if version >= small_produce.FIRST_VERSION_WITH_IDS else name
        assert small[:6] == (version, 77, acks, 9_000, named, 5)
        said_at, said_end, records_at, records_end = small[6:]
        assert bytes(frame[records_at:records_end]) == bytes(data.records or b"")
        answer = PartitionProduceResponse(index=5, base_offset=1 << 40, log_start_offset=3)
        told = TopicProduceResponse(
            name=topic.name, topic_id=topic.topic_id, partition_responses=[answer]
        )
        expected = encode_response(ApiKey.PRODUCE, version, 77, ProduceResponse(responses=[told]))
        said = bytes(frame[said_at:said_end])
        assert small_answer(version, 77, said, 1 << 40, 3) == b"".join(expected)


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("version", VERSIONS)
def test_whatever_is_out_of_the_ordinary_is_for_others(version: int) -> None:
    one = PartitionProduceData(index=0, records=memoryview(a_batch()))
    two = [topic_of(version, one), topic_of(version, one)]
    for request in (
        a_request(version, acks=0),
        a_request(version, acks=2),
        a_request(version, transactional_id="tx"),
        a_request(version, transactional_id=""),
        a_request(version, topic_data=[]),
        a_request(version, topic_data=two),
        a_request(version, topic_data=[topic_of(version)]),
        a_request(version, topic_data=[topic_of(version, one, one)]),
        a_request(version, topic_data=[topic_of(version, PartitionProduceData(records=None))]),
        a_request(version, topic_data=[topic_of(version, PartitionProduceData(records=b""))]),
    ):
        assert read_small_produce(framed(version, request)) is None
    large = PartitionProduceData(records=memoryview(a_batch(bytes(small_produce.SMALL_BYTES_MAX))))
    request = a_request(version, topic_data=[topic_of(version, large)])
    assert read_small_produce(framed(version, request)) is None
    frame = framed(version, a_request(version))
    other_api = bytearray(frame)
    other_api[1] = 1
    assert read_small_produce(memoryview(other_api)) is None
    for end in range(len(frame)):
        assert read_small_produce(frame[:end]) is None
    # librdkafka leaves bytes behind its requests.
    assert read_small_produce(memoryview(bytes(frame) + b"\1\2\3")) == read_small_produce(frame)


@NEEDS_BUILD
@pytest.mark.parametrize("seed", range(4))
def test_compiled_and_python_read_the_same_of_any_bytes(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    taken_count = 0
    for _ in range(2_000):
        frame = bytearray(framed(rng.choice(VERSIONS), a_request(9, acks=rng.choice((-1, 1)))))
        if frame[3] == small_produce.FIRST_VERSION_WITH_IDS:
            frame = bytearray(framed(13, a_request(13)))
        for _ in range(rng.choice((0, 1, 1, 2))):
            at = rng.randrange(60)
            frame[at] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, frame[at] ^ 1, rng.randrange(256)))
        if rng.random() < 0.1:
            del frame[rng.randrange(len(frame)) :]
        view = memoryview(frame)
        found = read_small_produce(view)
        with monkeypatch.context() as patch:
            patch.setattr(small_produce, "COMPILED", None)
            assert read_small_produce(view) == found, frame.hex()
        if found is None:
            continue
        taken_count += 1
        header, at = decode_request_header(view)
        request = decode_request(header, view, at)
        assert isinstance(request, ProduceRequest)
        topic = request.topic_data[0]
        data = topic.partition_data[0]
        named = topic.topic_id if header.api_version >= 13 else topic.name
        expected = (header.api_version, header.correlation_id, request.acks, request.timeout_ms)
        assert found[:6] == (*expected, named, data.index)
        assert data.records == view[found[8] : found[9]]
    assert 500 < taken_count < 1_900


def checked(batch: bytes, rules: RecordRules) -> int | None:
    """By the code that all batches go through."""
    try:
        header = validate_batch(batch)
        return None if header.attributes else check_records(batch, header, 1 << 20, rules)
    except BatchError:
        return None


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("seed", range(4))
def test_it_takes_no_batch_that_others_refuse(seed: int) -> None:
    rng = random.Random(seed)
    taken_count = 0
    for _ in range(700):
        fields = rng.choice(({}, {"producer_id": 7, "producer_epoch": 0, "base_sequence": 3}))
        batch = a_batch(
            *(bytes(rng.choice((0, 3, 90))) for _ in range(rng.randint(1, 9))), **fields
        )
        for _ in range(rng.choice((0, 0, 1))):
            at = rng.choice((rng.randrange(len(batch)), rng.randrange(61)))
            batch[at] = rng.choice((0, 1, 0x80, 0xFF, batch[at] ^ 2))
        if rng.random() < 0.9:
            batch[17:21] = small_produce.crc_of(batch).to_bytes(4, "big")
        near, keyed = RecordRules(NOW_MS - 5, NOW_MS + 4), RecordRules(needs_keys=True)
        rules = rng.choice((ANY_RECORDS, near, keyed))
        found = small_batch(memoryview(batch), rules)
        expected = checked(bytes(batch), rules)
        if found is None:
            continue
        taken_count += 1
        header, latest_ms = found
        assert latest_ms == expected, batch.hex()
        for name in BatchHeader.__slots__:
            assert getattr(header, name) == getattr(validate_batch(batch), name)
    assert taken_count > 150


@pytest.mark.usefixtures("path")
def test_a_sound_batch_is_taken() -> None:
    batch = a_batch(b"a", b"b", b"c")
    found = small_batch(memoryview(batch), ANY_RECORDS)
    assert found is not None and found[1] == NOW_MS + 2
    assert small_batch(memoryview(batch), RecordRules(timestamp_max_ms=NOW_MS)) is None
    batch[-1] ^= 1
    assert small_batch(memoryview(batch), ANY_RECORDS) is None
