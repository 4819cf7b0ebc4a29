"""Every advertised version answers in kind; what is not advertised gets what Kafka gives."""

import struct
from collections.abc import Callable

import pytest
from kafka.protocol.consumer import FetchRequest
from kafka.protocol.metadata import ApiVersionsRequest, MetadataRequest
from kafka.protocol.producer import ProduceRequest

from compat_tests.support.gateway import Gateway, Remote
from compat_tests.wire.batches import build
from compat_tests.wire.connection import Connection, decode
from compat_tests.wire.messages import api_versions, metadata, produce_request
from compat_tests.wire.requests import BUILDERS, FLOORS, codes_in

pytestmark = pytest.mark.storage_blind("which versions are served, and in which shape")

API_VERSIONS = 18
UNSUPPORTED_VERSION = 35
# What the clients of this suite, Java, franz-go, sarama, kafkajs and kafka-go send at most, and the
# versions from which librdkafka 1.9 concludes what the broker can do.
NEEDED = {
    0: {0, 3, 7, 9, 10, 11, 12, 13},
    1: {0, 1, 2, 3, 4, 10, 11, 12, 16, 17, 18},
    2: {0, 1, 2, 3, 6, 7, 9, 10, 11},
    3: {0, 1, 4, 5, 6, 9, 12, 13},
    8: {2, 3, 7, 8, 9, 10},
    9: {1, 3, 7, 8, 9, 10},
    10: {0, 1, 2, 4, 5, 6},
    11: {0, 1, 2, 4, 5, 6, 7, 9},
    12: {0, 1, 3, 4},
    13: {0, 1, 3, 4, 5},
    14: {0, 1, 3, 4, 5},
    15: {0, 1, 2, 3, 4, 5, 6},
    16: {0, 1, 2, 3, 4, 5},
    18: {0, 1, 2, 3, 4, 5},
    19: {0, 1, 2, 3, 4, 7},
    20: {0, 1, 3, 6},
    21: {0, 1, 2},
    22: {0, 1, 3, 4, 5},
    23: {0, 1, 2, 3, 4},
    32: {1, 2, 4},
    33: {0, 1, 2},
    29: {0, 1, 2, 3},
    30: {0, 1, 2, 3},
    31: {0, 1, 2, 3},
    35: {0, 1, 2, 3, 4, 5},
    37: {0, 1, 2, 3},
    42: {0, 1, 2, 3},
    43: {0, 1, 2},
    44: {0, 1},
    45: {0, 1},
    46: {0},
    47: {0},
    48: {0, 1},
    49: {0, 1},
    50: {0},
    51: {0},
    55: {0, 1, 2},
    60: {0, 1, 2},
    61: {0},
    65: {0},
    66: {0, 1},
    74: {0, 1},
    75: {0},
}


# Listed, but refused in every version: clients end at once (KIP-848; `test_transactions.py`).
REFUSED = {68}
# Codes a minimal request may be answered with: a member nobody knows, a join in two steps, a
# topic that was never created; that security is off, and that there is nothing to elect, to call
# off, or to tell of.
EXPECTED_CODES = {
    11: {0, 79},
    12: {25},
    13: {0, 25},
    14: {25},
    15: {0, 69},
    20: {0, 3},
    29: {54},
    30: {54},
    31: {54},
    42: {69},
    43: {0, 84},
    45: {0, 85},
    47: {0, 69},
    51: {91},
    65: {105},
}


@pytest.mark.parametrize("key", sorted(BUILDERS))
def test_every_advertised_version_is_served(
    key: int, made: str, wire: Connection, broker: Gateway | Remote
) -> None:
    low, high = api_versions(wire)[key]
    topic_id = metadata(wire, [made]).topics[0].topic_id
    lowest = max(low, FLOORS.get(key, 0))
    newest = BUILDERS[key](0, made, topic_id).max_version
    for version in range(lowest, min(high, newest) + 1):
        request = BUILDERS[key](version, made, topic_id)
        with Connection(broker.bootstrap) as connection:
            response = connection.call(request, version)
        assert codes_in(response) <= EXPECTED_CODES.get(key, {0}), f"v{version}: {response}"


def test_what_clients_need_is_advertised(wire: Connection, broker: Gateway | Remote) -> None:
    """Produce starts at 0 although 0 to 2 are refused: librdkafka before 2.11.1 looks at it."""
    advertised = api_versions(wire)
    for key, versions in NEEDED.items():
        low, high = advertised[key]
        missing = {version for version in versions if not low <= version <= high}
        if isinstance(broker, Remote):
            missing -= {13}  # an older Kafka ends below 13
        assert not missing, f"key {key}: advertised {low}-{high}, missing {missing}"


def test_nothing_is_advertised_that_has_no_test(wire: Connection, broker: Gateway | Remote) -> None:
    if isinstance(broker, Remote):
        pytest.skip("another broker may offer more")
    assert set(api_versions(wire)) == set(BUILDERS) | REFUSED


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
def test_all_versions_of_api_versions_agree(wire: Connection, version: int) -> None:
    rows = api_versions(wire, version)
    expected = api_versions(wire, 0)
    assert rows[API_VERSIONS] == expected[API_VERSIONS]
    assert set(expected) <= set(rows)


@pytest.mark.parametrize("version", [6, 99, 32767])
def test_unknown_version_of_api_versions(wire: Connection, version: int) -> None:
    """Header v0, body v0, error 35, our range for key 18; the connection goes on."""
    wire.send_frame(struct.pack(">hhih", API_VERSIONS, version, 77, -1) + b"\x00")
    frame = wire.receive_frame()
    assert struct.unpack_from(">ih", frame) == (77, UNSUPPORTED_VERSION)
    kind = type(wire.call(ApiVersionsRequest(), 0))
    body = decode(kind, 0, frame)
    rows = {row.api_key: (row.min_version, row.max_version) for row in body.api_keys}
    assert rows[API_VERSIONS] == api_versions(wire)[API_VERSIONS]


@pytest.mark.parametrize(
    ("key", "version"), [(0, 99), (1, 99), (3, 99), (11, 99), (999, 0), (-1, 0), (3, -1)]
)
def test_unserved_key_or_version_closes_the_connection(
    dial: Callable[[], Connection], key: int, version: int
) -> None:
    """As Kafka does; another connection does not notice."""
    bystander, offender = dial(), dial()
    api_versions(bystander)
    offender.send_frame(struct.pack(">hhih", key, version, 1, -1) + bytes(8))
    assert offender.closed_by_broker()
    api_versions(bystander)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_old_produce_versions_are_refused_in_their_own_shape(
    dial: Callable[[], Connection],
    made: str,
    version: int,
    broker: Gateway | Remote,
) -> None:
    """They carry record formats that are not stored any more; the connection stays."""
    if isinstance(broker, Remote):
        pytest.skip("another broker may still serve them")
    connection = dial()
    request = produce_request({made: {0: build([b"old"])}})
    response = connection.call(request, version)
    (code,) = codes_in(response)
    assert code != 0
    api_versions(connection)


def test_produce_request_class_is_the_oracle() -> None:
    """Guards the table above against a kafka-python that stops knowing our versions."""
    for request, highest in ((ProduceRequest, 11), (FetchRequest, 17), (MetadataRequest, 13)):
        assert request.max_version >= highest
