"""Every message at every version, against independent codecs: kio, kafka-python, our slow one.

An oracle reads what we wrote and writes it again: equal bytes mean that both see the same fields in
the same order. kafka-python is compared by field names too. Examples are derandomised, so a run is
always the same run.
"""

import importlib
import io
import uuid
from functools import cache

import kio.index
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from kio.serial import entity_reader, entity_writer
from kio.static.constants import EntityType

from protocol import ZERO_UUID, DecodeError, Message, Writer
from protocol.codegen.extract import OF_JAR
from protocol.tests.arbitrary import Top, arbitrary, case_id, cases, slow_encode

SETTINGS = settings(
    max_examples=10,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
CASES = pytest.mark.parametrize(("top", "version"), cases(), ids=case_id)

FLEXIBLE_CASES = pytest.mark.parametrize(
    ("top", "version"),
    [(top, version) for top, version in cases() if top.struct.is_flexible(version)],
    ids=case_id,
)


def encoded(message: Message, version: int) -> bytes:
    out = Writer()
    message.encode(out, version)
    return out.to_bytes()


def decoded(top: Top, raw: bytes, version: int) -> Message:
    message, at = top.cls.decode(memoryview(raw), 0, version)
    assert at == len(raw)
    return message


@CASES
def test_round_trip_and_slow_encoder_agree(top: Top, version: int) -> None:
    @SETTINGS
    @given(arbitrary(top, version))
    def check(message: Message) -> None:
        raw = encoded(message, version)
        assert raw == slow_encode(top.struct, message, version)
        assert decoded(top, raw, version) == message

    check()


@pytest.mark.parametrize(
    ("top", "version"),
    [case for case in cases() if case[0].struct.is_flexible(case[1])],
    ids=case_id,
)
def test_unknown_tags_in_every_struct_are_skipped(top: Top, version: int) -> None:
    @SETTINGS
    @given(arbitrary(top, version))
    def check(message: Message) -> None:
        raw = slow_encode(top.struct, message, version, inject=True)
        assert decoded(top, raw, version) == message

    check()


@CASES
def test_every_cut_is_a_decode_error_and_junk_behind_is_left(top: Top, version: int) -> None:
    @settings(SETTINGS, max_examples=2)
    @given(arbitrary(top, version))
    def check(message: Message) -> None:
        raw = encoded(message, version)
        step = max(1, len(raw) // 400)
        for cut in range(0, len(raw), step):
            with pytest.raises(DecodeError):
                top.cls.decode(memoryview(raw)[:cut], 0, version)
        again, at = top.cls.decode(memoryview(raw + b"junk"), 0, version)
        assert (again, at) == (message, len(raw))
        again, at = top.cls.decode(memoryview(b"##" + raw), 2, version)
        assert (again, at) == (message, len(raw) + 2)

    check()


# --- kio -----------------------------------------------------------------------------------------


@cache
def kio_type(name: str, version: int):
    """kio's class, or None where kio has no such version (it starts where Kafka 4 does)."""
    kind = None
    for suffix in ("Request", "Response"):
        if name.endswith(suffix):
            kind = getattr(EntityType, suffix.lower())
    if kind is None:
        kind = EntityType.data
    try:
        module = kio.index.load_entity_module(_snake(name), version, kind)
    except kio.index.UnknownEntity:
        return None
    return getattr(module, name)


def _snake(name: str) -> str:
    from protocol.codegen.table import camel_to_snake

    return camel_to_snake(name.removesuffix("Request").removesuffix("Response"))


def is_of_jar(top: Top, version: int) -> bool:
    """Whether the schema may be in no Python package: the newest version of some."""
    api = top.name.removesuffix("Request").removesuffix("Response")
    return api in OF_JAR and version == max(each for other, each in cases() if other is top)


KIO_CASES = [(top, version) for top, version in cases() if kio_type(top.name, version)]


def test_kio_knows_nearly_everything() -> None:
    """All but what Kafka 4 serves no more, the first versions of a message (KIP-896), and what no
    package has yet."""
    known: dict[str, list[int]] = {}
    for top, version in KIO_CASES:
        known.setdefault(top.name, []).append(version)
    records = {"OffsetCommitKey", "OffsetCommitValue", "GroupMetadataKey", "GroupMetadataValue"}
    for top, version in cases():
        if top.name not in records and version not in known[top.name]:
            assert version < min(known[top.name]) or (
                is_of_jar(top, version) and version > max(known[top.name])
            )


@pytest.mark.parametrize(("top", "version"), KIO_CASES, ids=case_id)
def test_kio_agrees(top: Top, version: int) -> None:
    theirs = kio_type(top.name, version)
    read, write = entity_reader(theirs), entity_writer(theirs)

    @SETTINGS
    @given(arbitrary(top, version))
    def check(message: Message) -> None:
        raw = encoded(message, version)
        entity, size = read(raw, 0)
        assert size == len(raw)
        out = io.BytesIO()
        write(out, entity)
        assert out.getvalue() == raw

    check()


# --- kafka-python --------------------------------------------------------------------------------


def _kafka_python_type(name: str):
    for package in ("producer", "consumer", "metadata", "admin"):
        module = importlib.import_module(f"kafka.protocol.{package}")
        if hasattr(module, name):
            return getattr(module, name)
    return None


KAFKA_PYTHON_CASES = [
    (top, version)
    for top, version in cases()
    if (theirs := _kafka_python_type(top.name)) is not None
    and hasattr(theirs, "API_KEY")
    and not (is_of_jar(top, version) and version > theirs.max_version)
]


def _plain(value: object) -> object:
    """Comparable across the two: dicts, lists, bytes; tagged structs left out become defaults."""
    if isinstance(value, dict):
        # kafka-python turns these bit fields into sets under another name; bytes still tell.
        items = ((n, each) for n, each in value.items() if not n.endswith("authorized_operations"))
        return {name: _plain(each) for name, each in items}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, uuid.UUID):
        return value.bytes
    if isinstance(value, memoryview):
        return bytes(value)
    return value


def _ours(top_struct, message: Message, version: int) -> dict[str, object]:
    found: dict[str, object] = {}
    for each in top_struct.fields:
        if version not in each.versions:
            continue
        value = getattr(message, each.name)
        if each.struct is not None and each.is_array and value is not None:
            value = [_ours(each.struct, item, version) for item in value]
        elif each.struct is not None and isinstance(value, msgspec.Struct):
            value = _ours(each.struct, value, version)
        found[each.name] = value
    return found


def _left_out(theirs: object, ours: object) -> object:
    """What they and we spell differently, in our spelling.

    A tagged struct left out is None to us, a struct of defaults to them; the zero uuid is None to
    them.
    """
    if isinstance(theirs, dict) and isinstance(ours, dict):
        return {name: _left_out(each, ours.get(name)) for name, each in theirs.items()}
    if isinstance(theirs, list) and isinstance(ours, list):
        return [_left_out(a, b) for a, b in zip(theirs, ours, strict=True)]
    if isinstance(theirs, dict) and ours is None:
        return None
    if theirs is None and ours == ZERO_UUID:
        return ours
    return theirs


@pytest.mark.parametrize(("top", "version"), KAFKA_PYTHON_CASES, ids=case_id)
def test_kafka_python_agrees(top: Top, version: int) -> None:
    theirs = _kafka_python_type(top.name)

    @SETTINGS
    @given(arbitrary(top, version))
    def check(message: Message) -> None:
        if top.name == "ApiVersionsResponse":
            message.error_code = 0  # with any error it reads the rest as version 0
        raw = encoded(message, version)
        entity = theirs.decode(raw, version=version)
        plain, ours = (
            _plain(entity.to_dict(json=False)),
            _plain(_ours(top.struct, message, version)),
        )
        assert _left_out(plain, ours) == ours
        entity._header = None  # its own decoder leaves this unset
        assert bytes(entity.encode(version=version)) == raw

    check()


def test_examples_are_enough() -> None:
    """The parametrised tables are not empty by accident."""
    assert len(cases()) > 190
    assert len(KIO_CASES) > 180
    assert len(KAFKA_PYTHON_CASES) > 180
