"""Names of clients that quotas are for, as they are stored."""

import pytest

from gateway.broker.metadata_records import ConfigsChanged, decode_metadata, encode_metadata
from gateway.broker.quota_entities import (
    decode_entity,
    decode_values,
    encode_entity,
    entity_from,
)
from wal_core import Corrupt


def test_an_entity_has_one_name_however_it_is_given() -> None:
    one = entity_from({"user": None, "client-id": 'a"é'})
    assert one == entity_from({"client-id": 'a"é', "user": None})
    assert encode_entity(one) == '{"client-id":"a\\"é","user":null}'
    assert decode_entity(encode_entity(one)) == one


@pytest.mark.parametrize("name", ["", "{}", "[]", '{"user":1}', "a"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"names no client|for somebody"):
        decode_entity(name)


@pytest.mark.parametrize("value", ["nan", "inf", "0", "-1", "x", ""])
def test_a_damaged_quota_is_found_when_it_is_read(value: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be|could not convert"):
        decode_values({"producer_byte_rate": value})
    good = ConfigsChanged(
        kind="client_quota", name='{"user":null}', configs={"producer_byte_rate": "1.0"}
    )
    stored = encode_metadata(good)
    assert decode_metadata(stored) == good
    with pytest.raises(Corrupt):
        decode_metadata(stored.replace(b'"1.0"', b'"%s"' % value.encode()))
