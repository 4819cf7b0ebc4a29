"""Versions of Kafka as MetadataVersion of 3.9 knows them."""

import pytest

from gateway.broker.format_versions import is_kafka_version


@pytest.mark.parametrize(
    "text",
    [
        *("0.8.0", "0.9.0", "0.10.2-IV0", "0.11.0-IV2", "1.0", "2.8-IV1", "3.0-IV1", "3.9-IV0"),
        *("4.0-IV0", "4.0-IV1"),  # 3.9 knew them already
        # What follows a release does not matter.
        *("0.10.0.0", "0.10.0.x", "0.10.2.0-IV9", "2.8.1", "2.8.1-IV9", "3.0.1.2"),
        " 3.0 ",
    ],
)
def test_versions(text: str) -> None:
    assert is_kafka_version(text)


@pytest.mark.parametrize(
    "text",
    [
        *("0.7.0", "0.8.3", "0.12.0", "1.2", "2.9", "3.10", "4.0", "4.0-IV2", "9.9"),
        *("0.8", "0.10", "2", "", "x", "v3.0", "03.0"),
        *("2.8-IV2", "0.9.0-IV0", "3.0.", "3.0..", "0.10.0."),
    ],
)
def test_what_is_none(text: str) -> None:
    assert not is_kafka_version(text)
