from types import SimpleNamespace
from typing import Any

import pytest

from gateway.broker.attaching import attach


class Place:
    """A partition, as far as it is served or not."""

    def __init__(self, index: int, log_id: int, *, is_served: bool = False) -> None:
        self.index, self.log_id, self.stream_id = index, log_id, 7
        self.is_served = is_served

    def attach(self, log: Any) -> bool:
        assert self.index != 5
        self.is_served = log.is_mine
        return self.is_served


def log(**words: Any) -> SimpleNamespace:
    return SimpleNamespace(**{"has_read_catalog": True, **words})


def test_what_lies_on_logs_that_are_here_is_served_unless_it_is_another_topics(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logs: Any = {
        1: log(may_serve=lambda place: place.index != 5, is_mine=True),
        2: log(may_serve=lambda _: True, is_mine=False),
        3: log(may_serve=lambda _: False, is_mine=True),
    }
    served, here, others, closing, elsewhere, not_yet = places = [
        Place(0, 1, is_served=True),
        *(Place(log_id, log_id) for log_id in (1, 2, 3, 4)),
        Place(5, 1),
    ]
    topic: Any = SimpleNamespace(name="t", placed=places)
    assert attach(topic, logs) == [here]
    assert [p.is_served for p in (served, others, closing, elsewhere, not_yet)] == [
        True,
        *[False] * 4,
    ]
    (record,) = caplog.records
    assert "another topic's" in record.getMessage()
    assert attach(topic, logs) == []


def test_another_topics_stream_is_no_error_before_the_catalog_was_read(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What is known may be a creation of this node's own that was never durable."""
    owned = log(may_serve=lambda _: True, is_mine=False, has_read_catalog=False)
    topic: Any = SimpleNamespace(name="t", placed=[Place(0, 1)])
    logs: Any = {1: owned}
    assert attach(topic, logs) == []
    assert not caplog.records
    owned.has_read_catalog = True
    assert attach(topic, logs) == []
    assert len(caplog.records) == 1
